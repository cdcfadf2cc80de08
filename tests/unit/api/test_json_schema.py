"""What the document says of a schema is what the schema does."""

from enum import StrEnum
from typing import Any

import pytest
from apispec import APISpec
from jsonschema import Draft202012Validator
from marshmallow import Schema, ValidationError, fields, validate

from iotsphere.api.fields import TYPE_NAME, VISIBLE, PageQuery, Timestamp, text
from iotsphere.api.json_schema import JsonSchemaPlugin


class Colour(StrEnum):
    RED = "red"


class ThingBody(Schema):
    kind = fields.String(validate=TYPE_NAME)
    serial = fields.String(validate=VISIBLE)
    colour = fields.Enum(Colour, by_value=True, allow_none=True)
    labels = fields.Dict(
        keys=text(longest=3), values=text(longest=4, shortest=0, allow_none=True), validate=validate.Length(max=2)
    )
    made_at = Timestamp()


class ThingAnswer(Schema):
    id = fields.UUID()
    made_at = Timestamp(allow_none=True)
    note = fields.String(metadata={"optional": True})


class ThingQuery(PageQuery):
    colour = fields.Enum(Colour, by_value=True, load_default=None)


@pytest.fixture
def plugin() -> JsonSchemaPlugin:
    plugin = JsonSchemaPlugin()
    APISpec("things", "1", "3.1.0", plugins=[plugin])
    return plugin


def described(plugin: JsonSchemaPlugin, schema: Schema) -> dict[str, Any]:
    assert plugin.converter is not None
    return dict(plugin.converter.schema2jsonschema(schema))  # type: ignore[no-untyped-call]


def accepts(schema: Schema, value: Any) -> bool:
    try:
        schema.load(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"kind": "pump"},
        {"kind": "xpump!"},
        {"kind": "Pump"},
        {"kind": "a" * 64},
        {"serial": "SN-1"},
        {"serial": "SN 1"},
        {"serial": "SN\ufeff1"},
        {"serial": "x" * 129},
        {"colour": "red"},
        {"colour": None},
        {"colour": "blue"},
        {"colour": 1},
        {"labels": {"a": "b"}},
        {"labels": {"a": None}},
        {"labels": {"a": "12345"}},
        {"labels": {"": "b"}},
        {"labels": {"1234": "b"}},
        {"labels": {"a": "", "b": "", "c": ""}},
        {"labels": None},
        {"made_at": 0},
        {"made_at": 1.5},
        {"made_at": None},
        {"unknown": 1},
    ],
    ids=str,
)
def test_the_description_accepts_what_the_schema_accepts(plugin: JsonSchemaPlugin, value: dict[str, Any]) -> None:
    description = described(plugin, ThingBody())

    assert Draft202012Validator(description).is_valid(value) == accepts(ThingBody(), value)


def test_a_pattern_covers_the_whole_text(plugin: JsonSchemaPlugin) -> None:
    assert described(plugin, ThingBody())["properties"]["kind"]["pattern"] == "^[a-z][a-z0-9-]{0,62}$"


def test_an_answer_has_all_but_what_is_optional_and_may_grow(plugin: JsonSchemaPlugin) -> None:
    description = described(plugin, ThingAnswer())

    assert description["required"] == ["id", "made_at"]
    assert "additionalProperties" not in description
    assert description["properties"]["made_at"] == {"type": ["string", "null"], "format": "date-time"}


def test_nothing_in_a_query_can_be_null(plugin: JsonSchemaPlugin) -> None:
    schemas = {parameter["name"]: parameter["schema"] for parameter in plugin.query_parameters(ThingQuery())}

    assert schemas == {
        "limit": {"type": "integer", "default": 50, "minimum": 1, "maximum": 500},
        "cursor": {"type": "string"},
        "colour": {"type": "string", "enum": ["red"]},
    }
