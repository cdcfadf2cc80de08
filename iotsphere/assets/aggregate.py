"""Figures over assets: how many there are, and what the numbers among their properties come to, by groups of them."""

import re
from dataclasses import dataclass
from enum import StrEnum

from iotsphere.assets.documents import refusal
from iotsphere.assets.model import ASSET_TYPE
from iotsphere.assets.search import AssetFilter, read_property

MAX_GROUPINGS = 3
MAX_MEASURES = 20
MAX_GROUPS = 1_000
# Of the texts that groups have in common, of which each may be a quarter as long.
MAX_GROUP_BYTES = 1024 * 1024

_ABOVE = re.compile(rf"ancestor\.({ASSET_TYPE.pattern})")


class MeasureOp(StrEnum):
    COUNT = "count"
    SUM = "sum"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    P50 = "p50"
    P90 = "p90"
    P95 = "p95"
    P99 = "p99"


class GroupedBy(StrEnum):
    ASSET_TYPE = "asset_type"
    PARENT = "parent_id"
    ANCESTOR = "ancestor"
    PROPERTY = "properties"


@dataclass(frozen=True, slots=True)
class Grouping:
    """What an asset has in common with the others of its group.

    Of a property it is the value to which ``keys`` lead. Of the assets of an ``asset_type`` it is that which an asset
    is below; if it is below several of them, it counts in the group of each.
    """

    by: GroupedBy
    keys: tuple[str, ...] = ()
    asset_type: str | None = None

    @property
    def is_by_asset(self) -> bool:
        """Tell whether what they have in common is another asset, by its id."""
        return self.by in {GroupedBy.PARENT, GroupedBy.ANCESTOR}


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure over the numbers to which ``keys`` lead; without keys, a count of the assets themselves."""

    op: MeasureOp
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Aggregation:
    """What is asked: ``measures`` of the assets that are looked for, for each group of them."""

    groupings: tuple[Grouping, ...]
    measures: tuple[Measure, ...]
    narrowed_to: AssetFilter

    @property
    def measured(self) -> tuple[tuple[str, ...], ...]:
        """The properties of which figures are asked for, each once."""
        return tuple(dict.fromkeys(measure.keys for measure in self.measures if measure.keys))


GroupKey = str | float | bool | None
Figure = float | None


@dataclass(frozen=True, slots=True)
class Group:
    """``key`` says for each grouping what the assets have in common: None, that they have nothing there.

    ``figures`` are those of the measures, in their order: None where there is no number. ``names`` are for each
    grouping that of the asset in the key, None where there is none.
    """

    key: tuple[GroupKey, ...]
    figures: tuple[Figure, ...]
    names: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Groups:
    """The largest groups, the largest first, and how many there are in all.

    There are ``MAX_GROUPS`` at the most, or as many as have no more than ``MAX_GROUP_BYTES`` of texts in common.
    """

    groups: list[Group]
    total: int


def read_grouping(text: str) -> Grouping:
    """Read ``asset_type``, ``parent_id``, ``ancestor.<asset type>`` or ``properties.<path>``.

    :raises RuleViolationError: it is nothing of that.
    """
    if text in {GroupedBy.ASSET_TYPE, GroupedBy.PARENT}:
        return Grouping(GroupedBy(text))
    above = _ABOVE.fullmatch(text)
    if above is not None:
        return Grouping(GroupedBy.ANCESTOR, asset_type=above[1])
    keys = read_property(text, "group_by")
    if keys is None:
        raise refusal("group_by", "asset_type, parent_id, ancestor.<asset type> or properties.<path> is needed.")
    return Grouping(GroupedBy.PROPERTY, keys)


def read_measure(op: MeasureOp, of: str | None) -> Measure:
    """:raises RuleViolationError: there is no such figure; ``errors`` names the member."""
    if of is None:
        if op is not MeasureOp.COUNT:
            raise refusal("of", "Say of which property, such as properties.rated_power_kw.")
        return Measure(op)
    keys = read_property(of, "of")
    if keys is None:
        raise refusal("of", "properties.<path> is needed.")
    return Measure(op, keys)
