from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotsphere.assets.change import UNKNOWN, AssetChange, AssetChangeKind, as_it_was, change_of, describe
from iotsphere.assets.documents import find_patch, merge
from iotsphere.assets.model import AssetPatch
from iotsphere.kernel.identifiers import AssetId
from tests.factories.assets import build_asset
from tests.unit.assets.test_documents import DOCUMENTS, KEYS, as_json

OBJECTS = st.dictionaries(KEYS, DOCUMENTS, max_size=4)


def without_nulls(document: Any) -> Any:
    """What merge patches alone can have made."""
    if not isinstance(document, dict):
        return document
    return {key: without_nulls(member) for key, member in document.items() if member is not None}


@given(before=OBJECTS, after=OBJECTS)
def test_a_patch_makes_the_one_of_the_other_or_there_is_none(before: Any, after: Any) -> None:
    patch = find_patch(before, after)

    assert patch is None or as_json(merge(before, patch)) == as_json(after)


@given(before=OBJECTS, after=OBJECTS.map(without_nulls))
def test_there_is_a_patch_to_whatever_holds_no_nulls(before: Any, after: Any) -> None:
    assert find_patch(before, after) is not None


@given(before=OBJECTS, patch=OBJECTS)
def test_there_is_a_patch_to_whatever_a_patch_has_made(before: Any, patch: Any) -> None:
    after = merge(before, patch)

    found = find_patch(before, after)

    assert found is not None
    assert as_json(merge(before, found)) == as_json(after)


@given(document=OBJECTS)
def test_from_a_document_to_itself_leads_the_empty_patch(document: Any) -> None:
    assert find_patch(document, msgspec.json.decode(msgspec.json.encode(document))) == {}


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"a": 1, "b": {"c": 2, "d": 4}}, {"b": {"d": 4}}),
        ({"a": 1}, {"a": 1.0}, {"a": 1.0}),
        ({"a": 1}, {"a": True}, {"a": True}),
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}, 2]}, {"a": [1, {"b": None}, 2]}),
        ({"a": {"b": 1}}, {"a": {}}, {"a": {"b": None}}),
        ({"a": 1}, {"a": {}}, {"a": {}}),
        ({"a": []}, {"a": {}}, {"a": {}}),
        ({"a": None}, {"a": None, "b": 1}, {"b": 1}),
        ({"a": None}, {}, {"a": None}),
        ({}, {"a": None}, None),
        ({"a": 1}, {"a": None}, None),
        ({"a": 1}, {"a": {"b": {"c": None}}}, None),
    ],
)
def test_a_patch_says_what_differs_and_no_more(before: Any, after: Any, patch: Any) -> None:
    found = find_patch(before, after)

    assert found == patch
    assert as_json(found) == as_json(patch)


def test_of_an_added_asset_nothing_is_told_but_who_and_when() -> None:
    asset = build_asset()

    change = change_of(None, asset, actor="user:1")

    assert (change.kind, change.version, change.at, change.actor) == (
        AssetChangeKind.ADDED,
        1,
        asset.created_at,
        "user:1",
    )
    assert (change.patch, change.whole) == (None, None)


@pytest.mark.parametrize("version", [1, 2])
def test_what_nobody_has_told_of_was_found_also_the_first_version(version: int) -> None:
    asset = build_asset()

    found = AssetChange(asset.organisation_id, asset.id, version, asset.updated_at, UNKNOWN, whole=describe(asset))

    assert found.kind is AssetChangeKind.FOUND


def test_a_change_tells_what_differs_and_who_has_made_it() -> None:
    asset = build_asset(properties={"a": 1, "b": 2}, parent_id=AssetId(uuid4()))
    later = asset.updated_at + timedelta(hours=1)
    patch: AssetPatch = {"name": "New", "parent_id": None, "properties": {"a": None, "b": 2, "c": 3}}

    change = change_of(asset, asset.change(patch, changed_at=later), actor="integration:2")

    assert change.patch == {"name": "New", "parent_id": None, "properties": {"a": None, "c": 3}}
    assert (change.kind, change.version, change.at) == (AssetChangeKind.CHANGED, 2, later)


def test_what_came_later_is_later_whatever_the_clock_says() -> None:
    asset = build_asset()

    changed = asset.change({"name": "New"}, changed_at=asset.updated_at - timedelta(hours=1))

    assert changed.updated_at == asset.updated_at


def test_an_earlier_version_is_made_again_of_what_is_kept() -> None:
    site = AssetId(uuid4())
    first = build_asset(properties={"a": None, "n": [1.0, 1]})
    second = first.change({"properties": {"b": {}}, "parent_id": site}, changed_at=first.updated_at)
    third = second.change({"capabilities": None, "parent_id": None}, changed_at=first.updated_at)
    now = third.change({"name": "Last", "asset_type": "robot", "properties": None}, changed_at=first.updated_at)
    kept = replace(change_of(None, first, actor="user:1"), whole=describe(first))
    changes = [kept, change_of(first, second, actor="user:1"), change_of(second, third, actor="user:1")]

    for length, version in enumerate((first, second, third), 1):
        found = as_it_was(now, changes[:length])
        assert found == version
        assert as_json(describe(found)) == as_json(describe(version))
