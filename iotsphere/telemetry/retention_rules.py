"""Which retention class a metric is of, and since when: a point has one class for good, whatever the rules become."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import translate
from functools import lru_cache
from typing import NamedTuple

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.blocks import earliest_of
from iotsphere.telemetry.model import EARLIEST, FUTURE_TOLERANCE, Reading

DAY = timedelta(days=1)
DEFAULT_NUMBER = 0
MOST_CLASSES = 64
# Metrics as their names are written, with * for any characters and ? for one.
METRICS_PATTERN = re.compile(r"[A-Za-z0-9_.:*?-]{1,128}")
# Metrics move from a midnight on behind which nobody can have stored anything, even by a clock that is a day ahead.
MOVING_AHEAD = 2 * FUTURE_TOLERANCE
# A device follows so many changes of the rules, a day apart at the least, in all its life.
MOST_ERAS = 64


class RetentionRule(NamedTuple):
    """The class ``number`` holds metrics like ``metrics`` of devices of ``device_type``; None stands for any."""

    number: int
    device_type: str | None
    metrics: str | None


class RetentionRules(NamedTuple):
    """All rules at one revision; of those that match a metric the first one decides, the default class if none."""

    revision: int = 0
    rules: tuple[RetentionRule, ...] = ()

    def classes_of(self, device_type: str | None, metrics: Iterable[str]) -> bytes:
        """Give the number of each metric's class, a byte each."""
        own = tuple(rule for rule in self.rules if rule.device_type in {None, device_type})
        return bytes(_class_of(own, metric) for metric in metrics) if own else bytes(len(tuple(metrics)))


# Devices of a type mostly have the same metrics.
@lru_cache(maxsize=2**16)
def _class_of(rules: tuple[RetentionRule, ...], metric: str) -> int:
    for rule in rules:
        if rule.metrics is None or _compiled(rule.metrics).fullmatch(metric):
            return rule.number
    return DEFAULT_NUMBER


@lru_cache(maxsize=4 * MOST_CLASSES)
def _compiled(pattern: str) -> re.Pattern[str]:
    # No bracket occurs in it, and a star does not go back over what another one has passed.
    return re.compile(translate(pattern))


class Era(NamedTuple):
    """From ``since`` until the next era, the metric at the place p is of the class ``classes[p - 1]``."""

    since: datetime
    classes: bytes


@dataclass(frozen=True, slots=True)
class Allotment:
    """The classes of a device's metrics over time; without eras all are of the default class, and were always."""

    eras: tuple[Era, ...] = ()

    @property
    def numbers(self) -> frozenset[int]:
        """All classes that any of the metrics is or was of."""
        return frozenset().union(*(era.classes for era in self.eras)) if self.eras else frozenset({DEFAULT_NUMBER})

    def at(self, ts: datetime) -> bytes:
        """Give the classes of points of that time, a byte for each place; none where all are of the default class."""
        if not self.eras:
            return b""
        # The first era holds for everything before it as well.
        return self.eras[max(0, bisect_right(self.eras, ts, key=_since) - 1)].classes

    def extended(self, present: int, added: bytes) -> "Allotment":
        """Add metrics, behind ``present`` others: no point of them is stored, so that they need not move."""
        if not self.eras and not any(added):
            return self
        eras = self.eras or (Era(EARLIEST, bytes(present)),)
        return Allotment(tuple(Era(since, classes + added) for since, classes in eras))

    def moved(self, classes: bytes, *, now: datetime) -> "Allotment":
        """Let other classes hold from a midnight on behind which nothing can be stored yet."""
        if not self.eras and not any(classes):
            return self
        eras = self.eras or (Era(EARLIEST, bytes(len(classes))),)
        since = _midnight_from(now + MOVING_AHEAD)
        if len(eras) > 1 and eras[-1].since >= since:
            # Nothing can be stored there yet either.
            since, eras = eras[-1].since, eras[:-1]
        if eras[-1].classes == classes or len(eras) >= MOST_ERAS:
            return Allotment(eras)
        return Allotment((*eras, Era(since, classes)))


def _since(era: Era) -> datetime:
    return era.since


def _midnight_from(moment: datetime) -> datetime:
    midnight = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if midnight == moment else midnight + DAY


@dataclass(frozen=True, slots=True)
class IntakeTerms:
    """What readings are taken on: the time it is, since when each class is kept, and of which type a device is.

    A class that is not named is kept since ever, and a type that is not named is the one that was told before.
    """

    now: datetime
    kept_since: Mapping[int, datetime] = field(default_factory=dict)
    device_types: Mapping[DeviceId, str] = field(default_factory=dict)

    def is_expired(self, number: int, ts: datetime) -> bool:
        return ts < self.kept_since.get(number, EARLIEST)

    def are_all_kept(self, readings: Sequence[Reading]) -> bool:
        """Tell whether none of them is expired, of whatever class it is."""
        latest = max(self.kept_since.values(), default=EARLIEST)
        return latest <= EARLIEST or earliest_of(readings, latest) >= latest
