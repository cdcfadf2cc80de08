"""What a schema of properties may be, what it says of properties, and what it may cost."""

from typing import Any

import pytest

from iotsphere.assets.properties_schema import PropertiesSchema, check_properties_schema
from iotsphere.assets.shadow_schema import check_shadow_schema
from iotsphere.kernel.errors import RuleViolationError

MOTOR = {
    "type": "object",
    "properties": {
        "rated_power_kw": {"type": "number", "minimum": 0},
        "motor": {"type": "object", "properties": {"poles": {"enum": [2, 4, 6]}}, "required": ["poles"]},
    },
    "required": ["rated_power_kw"],
}
# Nine checks for each value.
THOROUGH: dict[str, Any] = {"additionalProperties": {"items": {"allOf": [{"type": "integer"}] * 8}}}


def refused(schema: dict[str, Any], properties: dict[str, Any]) -> dict[str, list[str]]:
    check_properties_schema(schema)
    with pytest.raises(RuleViolationError) as refusal:
        PropertiesSchema(schema).check(properties)
    return refusal.value.errors


def check(schema: dict[str, Any], properties: dict[str, Any]) -> None:
    check_properties_schema(schema)
    PropertiesSchema(schema).check(properties)


def test_tells_where_and_why_properties_do_not_fit() -> None:
    assert refused(MOTOR, {"rated_power_kw": -1, "motor": {"poles": 3}, "colour": "red"}) == {
        "properties.rated_power_kw": ["It is less than the minimum of 0"],
        "properties.motor.poles": ["It is not one of 2, 4 or 6"],
    }
    assert list(refused(MOTOR, {"colour": "red"})) == ["properties"]
    assert list(refused(MOTOR, {"rated_power_kw": 1, "motor": {}})) == ["properties.motor"]


def test_what_fits_is_taken_and_so_is_what_nothing_is_said_of() -> None:
    check(MOTOR, {"rated_power_kw": 1.5, "motor": {"poles": 4}, "colour": {"any": ["thing", None]}})


def test_where_nothing_is_said_nothing_is_missing() -> None:
    check(MOTOR, {})


def test_several_things_that_are_wrong_at_one_place_are_all_told() -> None:
    schema = {"properties": {"a": {"type": "string", "enum": ["b"]}}}

    assert [len(messages) for messages in refused(schema, {"a": 1}).values()] == [2]


def test_no_more_than_20_places_are_told() -> None:
    errors = refused({"additionalProperties": {"type": "string"}}, {f"k{number}": number for number in range(100)})

    assert len(errors) == 20


def test_long_keys_are_told_in_short() -> None:
    [place] = refused({"additionalProperties": {"type": "string"}}, {"k" * 1000: 1})

    assert place == f"properties.{'k' * 64}"


@pytest.mark.parametrize("number", [2**53 + 1, 2**64 + 1, -(2**70), pytest.param(10**4000, id="4001-digits"), 1e308])
def test_numbers_of_any_size_are_held_against_the_limits(number: float) -> None:
    schema = {"properties": {"a": {"type": "number"}, "b": {"maximum": 10, "minimum": -10}}}

    check(schema, {"a": number})
    assert list(refused(schema, {"b": number})) == ["properties.b"]


def test_properties_are_looked_at_as_deep_as_they_may_be() -> None:
    nested: Any = "not an object"
    for _ in range(30):
        nested = {"part": nested}
    schema = {"type": "object", "properties": {"part": {"$ref": "#"}}}

    assert list(refused(schema, nested)) == [".".join(["properties", *["part"] * 30])]


def test_what_branches_at_every_level_is_no_schema_of_what_may_be_deep() -> None:
    branching = {"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}

    check_shadow_schema(branching, "shadow_schema")
    with pytest.raises(RuleViolationError) as refusal:
        check_properties_schema(branching)
    assert list(refusal.value.errors) == ["properties_schema"]


def test_more_values_than_can_be_checked_soon_are_refused_and_a_long_text_is_not() -> None:
    check(THOROUGH, {"list": [1] * 1_000})
    check({"additionalProperties": {"allOf": [{"type": "string"}] * 8}}, {"text": "x" * 200_000})

    assert list(refused(THOROUGH, {"list": [1] * 100_000})) == ["properties"]


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"properties": {"a": {"type": "x"}}}, "properties_schema.properties.a.type"),
        ({"$ref": "https://example.com/schema"}, "properties_schema.$ref"),
        ({"$ref": "#"}, "properties_schema"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "properties_schema.$schema"),
        ({"properties": {"a": {"pattern": "(?=x)"}}}, "properties_schema.properties.a.pattern"),
    ],
)
def test_what_is_no_schema_is_refused_with_its_place(schema: dict[str, Any], place: str) -> None:
    with pytest.raises(RuleViolationError) as refusal:
        check_properties_schema(schema)

    assert list(refusal.value.errors) == [place]
