"""The search for assets as a plain model: every asset is looked at, and all that fit are sorted."""

import json
import math
import operator
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from iotsphere.assets.errors import AssetNotFoundError
from iotsphere.assets.model import Asset
from iotsphere.assets.relationship import Direction, Link, Relationship
from iotsphere.assets.search import BY_CREATION, PROPERTIES, AssetFilter, AssetOrder, RelatedTo, is_in_word
from iotsphere.assets.search_position import MAX_TEXT_LENGTH, AssetQuestion, SearchPosition
from iotsphere.kernel.identifiers import AssetId, OrganisationId
from iotsphere.kernel.pagination import Page
from tests.fakes.pages import documents_of, within_room

COUNTING_CHARACTERS = 16
COMPARISON = re.compile(r'\$((?:\."\w+")+) (==|>=|<=|>|<) (.+)')
COMPARISONS = {"==": operator.eq, ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


class InMemoryAssetSearchRepository:
    def __init__(
        self,
        stored: Mapping[AssetId, Asset],
        relationships: Mapping[Link, Relationship],
        numbers: Mapping[AssetId, int],
    ) -> None:
        self.stored = stored
        self.relationships = relationships
        self.numbers = numbers

    async def list(
        self,
        organisation_id: OrganisationId,
        narrowed_to: AssetFilter,
        order: AssetOrder = BY_CREATION,
        *,
        limit: int,
        cursor: str | None,
    ) -> Page[Asset]:
        question = AssetQuestion(organisation_id, narrowed_to, order)
        after = None if cursor is None else question.decode(cursor)
        for asset_id in narrowed_to.named:
            if asset_id not in self.stored or self.stored[asset_id].organisation_id != organisation_id:
                raise AssetNotFoundError
        owned = [asset for asset in self.stored.values() if asset.organisation_id == organisation_id]
        found = [asset for asset in owned if self.is_wanted(asset, narrowed_to)]
        positions = {asset.id: self._position(asset, order) for asset in found}
        parts = [[asset for asset in found if positions[asset.id].part == part] for part in (0, 1)]
        shown = []
        for part, assets in enumerate(parts):
            is_turned = order.is_descending and part == 0
            in_order = sorted(assets, key=lambda asset: positions[asset.id].key, reverse=is_turned)
            shown += [asset for asset in in_order if _is_behind(positions[asset.id], after, is_turned=is_turned)]
        page = within_room(shown, limit, documents_of)
        next_cursor = question.encode(positions[page[-1].id]) if len(shown) > len(page) else None
        return Page(page, next_cursor)

    def _position(self, asset: Asset, order: AssetOrder) -> SearchPosition:
        if order.by == "name":
            return SearchPosition(0, (asset.name, asset.id))
        if order.by == PROPERTIES:
            value = _value(asset.properties, order.keys)
            if value is not None:
                return SearchPosition(0, (*value, self.numbers[asset.id]))
            return SearchPosition(1, (asset.created_at, asset.id))
        return SearchPosition(0, (asset.created_at, asset.id))

    def is_wanted(self, asset: Asset, wanted: AssetFilter) -> bool:
        return (
            wanted.asset_type in {None, asset.asset_type}
            and wanted.device_id in {None, asset.device_id}
            and wanted.parent_id in {None, asset.parent_id}
            and (wanted.ancestor is None or wanted.ancestor in self._above(asset))
            and (wanted.related_to is None or self._is_related(asset, wanted.related_to))
            and contains(asset.properties, wanted.match or {})
            and (wanted.path is None or _fits(asset.properties, wanted.path.text))
            and (wanted.words is None or _has_words(asset.name, wanted.words))
        )

    def _above(self, asset: Asset) -> Iterator[AssetId]:
        while asset.parent_id is not None:
            yield asset.parent_id
            asset = self.stored[asset.parent_id]

    def _is_related(self, asset: Asset, wanted: RelatedTo) -> bool:
        ends = (asset.id, wanted.asset_id) if wanted.direction is Direction.OUT else (wanted.asset_id, asset.id)
        return any(
            (link.asset_id, link.other_id) == ends and wanted.type in {None, link.type} for link in self.relationships
        )


def _is_behind(position: SearchPosition, after: SearchPosition | None, *, is_turned: bool) -> bool:
    if after is None or position.part != after.part:
        return after is None or position.part > after.part
    return position.key < after.key if is_turned else position.key > after.key


def _value(properties: Any, keys: tuple[str, ...]) -> tuple[int, float, str] | None:
    """Give what is sorted by: the kind of the value, and the value as a number or a text."""
    for key in keys:
        properties = properties.get(key) if isinstance(properties, dict) else None
    match properties:
        case bool():
            return 2, 0.0, str(properties).lower()
        case int() | float():
            return 0, _as_double(properties), ""
        case str():
            return 1, 0.0, properties[:MAX_TEXT_LENGTH]
        case _:
            return None


def _as_double(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _has_words(name: str, words: str) -> bool:
    of_name = _words(name)
    return all(any(own.startswith(word[:COUNTING_CHARACTERS]) for own in of_name) for word in _words(words))


def _words(text: str) -> list[str]:
    lowered = unicodedata.normalize("NFKC", text).lower()
    return "".join(character if is_in_word(character) else " " for character in lowered).split()


def _fits(properties: Any, predicate: str) -> bool:
    """Tell whether predicates are true of properties without arrays: comparisons of a member, joined by ``&&``."""
    return all(_compares(properties, comparison) for comparison in predicate.split(" && "))


def _compares(value: Any, comparison: str) -> bool:
    read = COMPARISON.fullmatch(comparison)
    assert read is not None, comparison
    for key in json.loads(f"[{read[1][1:].replace('.', ',')}]"):
        value = value.get(key) if isinstance(value, dict) else None
    other = json.loads(read[3])
    is_number = [isinstance(side, int | float) and not isinstance(side, bool) for side in (value, other)]
    is_same_kind = type(value) is type(other) if not all(is_number) else True
    return is_same_kind and value is not None and bool(COMPARISONS[read[2]](value, other))


def contains(document: Any, sought: Any) -> bool:
    """Tell what JSONB's ``document @> sought`` does below the top: no scalar stands for an array of itself."""
    if isinstance(sought, dict):
        return isinstance(document, dict) and all(
            key in document and contains(document[key], value) for key, value in sought.items()
        )
    if isinstance(sought, list):
        return isinstance(document, list) and all(
            any(contains(element, value) for element in document) for value in sought
        )
    # Python takes True for 1, JSON does not.
    return isinstance(document, bool) == isinstance(sought, bool) and bool(document == sought)
