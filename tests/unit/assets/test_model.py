from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from iotsphere.assets.errors import AssetTooLargeError
from iotsphere.assets.model import MAX_VALUES, AssetDescription
from iotsphere.kernel.errors import RuleViolationError
from tests.factories.assets import build_asset, build_description

LATER = datetime(2027, 1, 1, tzinfo=UTC)
EMPTY_TEXT_PROPERTY_BYTES = len('{"a":""}')


@pytest.mark.parametrize("asset_type", ["p", "water-heater", "p2", "a" + "b" * 62])
def test_type_names_of_small_letters_digits_and_hyphens_are_taken(asset_type: str) -> None:
    assert build_description(asset_type=asset_type).asset_type == asset_type


@pytest.mark.parametrize("asset_type", ["", "Pump", "2p", "-p", "p p", "p\n", "pümp", "p²", "a" + "b" * 63])
def test_other_type_names_are_refused(asset_type: str) -> None:
    with pytest.raises(RuleViolationError) as refused:
        build_description(asset_type=asset_type)

    assert list(refused.value.errors) == ["asset_type"]


@pytest.mark.parametrize("name", ["", "n" * 257, "a\0b", "\ud800"])
def test_a_name_that_cannot_be_kept_is_refused(name: str) -> None:
    with pytest.raises(RuleViolationError) as refused:
        build_description(name=name)

    assert list(refused.value.errors) == ["name"]


def test_a_name_of_256_characters_is_taken_however_many_bytes_they_are() -> None:
    assert len(build_description(name="😀" * 256).name) == 256


def test_properties_may_take_256_kib_and_not_a_byte_more() -> None:
    most = "x" * (256 * 1024 - EMPTY_TEXT_PROPERTY_BYTES)

    assert build_description(properties={"a": most})
    with pytest.raises(AssetTooLargeError):
        build_description(properties={"a": most + "x"})


@pytest.mark.parametrize(
    "wrap", [list, lambda values: [{"a": value} for value in values[::2]]], ids=["flat", "nested"]
)
def test_properties_may_hold_5000_values_and_not_one_more(wrap: Callable[[list[int]], Any]) -> None:
    # The object itself and the array in it are two of them.
    most = [0] * 4998

    assert build_description(properties={"a": wrap(most)})
    with pytest.raises(RuleViolationError) as refused:
        build_description(properties={"a": wrap(most), "b": 0})
    assert list(refused.value.errors) == ["properties"]


def test_capabilities_may_be_200_and_take_256_kib_together() -> None:
    assert build_description(capabilities=[{"name": "c"}] * 200)
    with pytest.raises(RuleViolationError):
        build_description(capabilities=[{"name": "c"}] * 201)
    with pytest.raises(AssetTooLargeError):
        build_description(capabilities=[{"name": "c", "notes": "x" * 2000}] * 200)


@pytest.mark.parametrize("capability", [{}, {"name": ""}, {"name": 5}, {"name": None}, {"name": "n" * 257}])
def test_a_capability_without_a_proper_name_is_refused(capability: dict[str, Any]) -> None:
    with pytest.raises(RuleViolationError) as refused:
        build_description(capabilities=[{"name": "dosing"}, capability])

    assert list(refused.value.errors) == ["capabilities.1.name"]


def test_a_capability_that_cannot_be_stored_is_refused() -> None:
    with pytest.raises(RuleViolationError) as refused:
        build_description(capabilities=[{"name": "dosing", "unit": "\0"}])

    assert list(refused.value.errors) == ["capabilities.0.unit"]


def test_a_description_needs_a_type_and_a_name_alone() -> None:
    description = AssetDescription(asset_type="pump", name="P1")

    assert (description.properties, description.capabilities) == ({}, [])


def test_a_patch_merges_the_properties_and_replaces_the_capabilities() -> None:
    asset = build_asset(properties={"a": {"b": 1, "c": 2}, "d": 3}, capabilities=[{"name": "dosing"}])

    changed = asset.change(
        {"properties": {"a": {"b": None, "e": [None]}}, "capabilities": [{"name": "heating", "max_c": None}]},
        changed_at=LATER,
    )

    assert changed.properties == {"a": {"c": 2, "e": [None]}, "d": 3}
    assert changed.capabilities == [{"name": "heating", "max_c": None}]
    assert (changed.name, changed.asset_type) == (asset.name, asset.asset_type)
    assert (changed.created_at, changed.updated_at) == (asset.created_at, LATER)


def test_a_patch_leaves_the_asset_it_is_applied_to_as_it_was() -> None:
    asset = build_asset(properties={"a": {"b": 1}})

    asset.change({"properties": {"a": {"b": 2}}}, changed_at=LATER)

    assert asset.properties == {"a": {"b": 1}}


def test_null_empties_properties_and_capabilities() -> None:
    changed = build_asset().change({"properties": None, "capabilities": None}, changed_at=LATER)

    assert (changed.properties, changed.capabilities) == ({}, [])


def test_every_patch_adds_one_to_the_version_also_an_empty_one() -> None:
    assert build_asset(version=7).change({}, changed_at=LATER).version == 8


def test_a_patch_may_not_make_the_properties_too_large_together_with_what_is_there() -> None:
    asset = build_asset(properties={"a": "x" * 200_000})

    with pytest.raises(AssetTooLargeError):
        asset.change({"properties": {"b": "x" * 100_000}}, changed_at=LATER)


def test_a_patch_is_not_refused_for_what_it_does_not_name() -> None:
    asset = build_asset(
        properties={str(number): number for number in range(MAX_VALUES)}
    )  # kept before that was refused

    changed = asset.change({"name": "Renamed", "parent_id": None, "capabilities": None}, changed_at=LATER)
    assert (changed.name, changed.properties) == ("Renamed", asset.properties)
    assert asset.change({"properties": {"0": None}}, changed_at=LATER).version == 2
    with pytest.raises(RuleViolationError, match="Hold more than"):
        asset.change({"properties": {"0": 1}}, changed_at=LATER)


@pytest.mark.parametrize(("levels", "is_taken"), [(32, True), (33, False), (100_000, False)])
def test_a_patch_is_nested_no_deeper_than_what_it_makes(levels: int, is_taken: bool) -> None:
    properties: dict[str, Any] = {"a": None}
    for _ in range(levels - 1):
        properties = {"a": properties}

    if is_taken:
        assert build_asset().change({"properties": properties}, changed_at=LATER).version == 2
    else:
        with pytest.raises(RuleViolationError):
            build_asset().change({"properties": properties}, changed_at=LATER)
