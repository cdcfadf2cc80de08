"""Which class a point is of, worked out metric by metric; both engines, which do it by device, are held to it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from fnmatch import fnmatchcase

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.model import EARLIEST, Point, Reading
from iotsphere.telemetry.retention import RetentionClass
from iotsphere.telemetry.retention_rules import DEFAULT_NUMBER, IntakeTerms

Move = tuple[datetime, int]


@dataclass
class Classing:
    """``moves`` tell of each metric since when it has been of which class."""

    moves: dict[tuple[DeviceId, str], tuple[Move, ...]] = field(default_factory=dict)
    types: dict[DeviceId, str] = field(default_factory=dict)

    def copy(self) -> "Classing":
        return Classing(dict(self.moves), dict(self.types))

    def number_of(self, point: Point) -> int:
        moves = self.moves.get((point.device_id, point.metric), ())
        return next((number for since, number in reversed(moves) if since <= point.ts), DEFAULT_NUMBER)

    def follow(self, reading: Reading, classes: Iterable[RetentionClass], terms: IntakeTerms | None) -> None:
        """Let the device's metrics be of the classes that they are of by now, and the reading's new ones as well."""
        device_id = reading.device_id
        if terms and device_id in terms.device_types:
            self.types.setdefault(device_id, terms.device_types[device_id])
        rules = sorted(
            (each for each in classes if each.number != DEFAULT_NUMBER and each.deleted_at is None),
            key=lambda each: (-each.scope.priority, each.name),
        )
        if terms:
            for (device, metric), moves in list(self.moves.items()):
                if device == device_id and (number := self._decide(rules, device, metric)) != moves[-1][1]:
                    self.moves[device, metric] = _moved(moves, number, terms.now)
        for metric in reading.values:
            self.moves.setdefault((device_id, metric), ((EARLIEST, self._decide(rules, device_id, metric)),))

    def _decide(self, rules: Iterable[RetentionClass], device_id: DeviceId, metric: str) -> int:
        for each in rules:
            is_of_type = each.scope.device_type in {None, self.types.get(device_id)}
            if is_of_type and (each.scope.metrics is None or fnmatchcase(metric, each.scope.metrics)):
                return each.number
        return DEFAULT_NUMBER


def _moved(moves: tuple[Move, ...], number: int, now: datetime) -> tuple[Move, ...]:
    since = now + timedelta(days=2)
    if since.time() != time():
        since = datetime.combine(since.date() + timedelta(days=1), time(), since.tzinfo)
    while moves[-1][0] >= since:
        moves = moves[:-1]
    return moves if moves[-1][1] == number else (*moves, (since, number))
