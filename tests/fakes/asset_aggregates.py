"""Figures over assets as a plain model: every asset that is looked for is put into its groups."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, product
from statistics import fmean
from typing import Any

from iotsphere.assets.aggregate import (
    MAX_GROUP_BYTES,
    MAX_GROUPS,
    Aggregation,
    Figure,
    Group,
    GroupedBy,
    Grouping,
    GroupKey,
    Groups,
    MeasureOp,
)
from iotsphere.assets.errors import AggregateOverflowError
from iotsphere.assets.model import Asset
from iotsphere.kernel.identifiers import AssetId, OrganisationId
from tests.fakes.asset_search import InMemoryAssetSearchRepository

PERCENTILES = {MeasureOp.P50: 0.5, MeasureOp.P90: 0.9, MeasureOp.P95: 0.95, MeasureOp.P99: 0.99}
Key = tuple[Any, ...]


class InMemoryAssetAggregateRepository:
    def __init__(self, stored: Mapping[AssetId, Asset], search: InMemoryAssetSearchRepository) -> None:
        self.stored = stored
        self.search = search

    async def aggregate(self, organisation_id: OrganisationId, asked: Aggregation) -> Groups:
        page = await self.search.list(organisation_id, asked.narrowed_to, limit=len(self.stored) + 1, cursor=None)
        members: dict[Key, list[Asset]] = defaultdict(list)
        if not asked.groupings:
            members[()] = []
        for asset in page.items:
            for key in product(*(self._commons(asset, grouping) for grouping in asked.groupings)):
                members[tuple(map(_sortable, key))].append(asset)
        in_order = sorted(members.items(), key=lambda item: (-len(item[1]), item[0]))
        groups = [
            Group(
                tuple(map(_shown, key)),
                tuple(_figure(assets, measure.op, measure.keys) for measure in asked.measures),
            )
            for key, assets in in_order[:MAX_GROUPS]
        ]
        sizes = accumulate(sum(_size(common) for common in group.key) for group in groups)
        shown = [group for group, size in zip(groups, sizes, strict=True) if size <= MAX_GROUP_BYTES]
        return Groups(shown, len(members))

    def _commons(self, asset: Asset, grouping: Grouping) -> list[Any]:
        match grouping.by:
            case GroupedBy.ASSET_TYPE:
                return [asset.asset_type]
            case GroupedBy.PARENT:
                return [asset.parent_id and str(asset.parent_id)]
            case GroupedBy.PROPERTY:
                return [scalar_at(asset.properties, grouping.keys)]
            case GroupedBy.ANCESTOR:
                above = [str(each.id) for each in self._above(asset) if each.asset_type == grouping.asset_type]
                return above or [None]

    def _above(self, asset: Asset) -> Iterator[Asset]:
        while asset.parent_id is not None:
            asset = self.stored[asset.parent_id]
            yield asset


def scalar_at(properties: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        properties = properties.get(key) if isinstance(properties, dict) else None
    return properties if isinstance(properties, str | int | float) else None


def _sortable(value: Any) -> tuple[int, Any]:
    if value is None:
        return 4, 0
    if isinstance(value, bool):
        return 2, value
    return (1, value) if isinstance(value, str) else (0, _double(value))


def _shown(key: tuple[int, Any]) -> Any:
    kind, value = key
    if kind == 4:
        return None
    return str(value) if kind == 0 and math.isinf(value) else value


def _size(common: GroupKey) -> int:
    return len(common.encode()) if isinstance(common, str) else 0


def _double(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _figure(assets: Sequence[Asset], op: MeasureOp, keys: Sequence[str]) -> Figure:
    if not keys:
        return len(assets)
    values = (scalar_at(asset.properties, keys) for asset in assets)
    numbers = sorted(
        _double(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)
    )
    figure = _worked_out(numbers, op)
    if figure is not None and not math.isfinite(figure):
        raise AggregateOverflowError
    return figure


def _worked_out(numbers: list[float], op: MeasureOp) -> Figure:
    if op is MeasureOp.COUNT:
        return len(numbers)
    if not numbers:
        return None
    simple: dict[MeasureOp, Callable[[list[float]], float]] = {
        MeasureOp.MIN: min,
        MeasureOp.MAX: max,
        MeasureOp.SUM: sum,
        MeasureOp.AVG: fmean,
    }
    if op in simple:
        return simple[op](numbers)
    position = PERCENTILES[op] * (len(numbers) - 1)
    low = numbers[math.floor(position)]
    return low + (numbers[math.ceil(position)] - low) * (position % 1)
