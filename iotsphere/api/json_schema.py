"""JSON Schema of marshmallow's schemas, corrected where the converter says less, or other things, than they do."""

from typing import Any

from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import Schema, fields

from iotsphere.api.fields import Timestamp


class JsonSchemaConverter(OpenAPIConverter):
    """An answer has every field but those whose metadata say ``optional``, and may have more of them one day."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.field_mapping = {**self.field_mapping, Timestamp: ("string", "date-time")}

    def schema2jsonschema(self, schema: Schema) -> dict[str, Any]:
        described: dict[str, Any] = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]
        if _is_answer(schema):
            described.pop("additionalProperties", None)
            described["required"] = sorted(
                field.data_key or name for name, field in schema.fields.items() if not field.metadata.get("optional")
            )
        return described

    def field2property(self, field: fields.Field[Any]) -> dict[str, Any]:
        described: dict[str, Any] = super().field2property(field)
        if "pattern" in described:
            described["pattern"] = _anchored(described["pattern"])
        if isinstance(field, fields.Enum):
            described["type"] = ["string", "null"] if field.allow_none else "string"
        if isinstance(field, fields.Dict):
            described |= self._size_of_keys(field, described)
        if isinstance(field, Timestamp) and not _is_answer(field.parent):
            described["type"] = [*_types(described), "integer"]
        return described

    def _size_of_keys(self, field: fields.Dict, described: dict[str, Any]) -> dict[str, Any]:
        """Say of an object's names what is said of texts, and of their number what is said of a text's length."""
        sizes = {
            name: described.pop(of_text)
            for name, of_text in (("minProperties", "minLength"), ("maxProperties", "maxLength"))
            if of_text in described
        }
        names = self.field2property(field.key_field) if field.key_field is not None else {}
        names.pop("type", None)
        return sizes | ({"propertyNames": names} if names else {})


class JsonSchemaPlugin(MarshmallowPlugin):
    Converter = JsonSchemaConverter

    def query_parameters(self, query: Schema) -> list[dict[str, Any]]:
        """Describe a query, in which nothing can be null: what is not asked for is left out."""
        assert self.converter is not None  # noqa: S101  # APISpec has initialised it
        parameters: list[dict[str, Any]] = self.converter.schema2parameters(query, location="query")
        for parameter in parameters:
            _without_null(parameter["schema"])
        return parameters


def _is_answer(schema: Any) -> bool:
    return type(schema).__name__.endswith("Answer")


def _types(described: dict[str, Any]) -> list[str]:
    types = described.get("type", [])
    return types if isinstance(types, list) else [types]


def _anchored(pattern: str) -> str:
    r"""Write a pattern, matched from a text's start on and maybe ending in ``\Z``, for JSON Schema: it searches."""
    return f"^{pattern.removeprefix('^').removesuffix('$').removesuffix(chr(92) + 'Z')}$"


def _without_null(described: dict[str, Any]) -> None:
    types = [kind for kind in _types(described) if kind != "null"]
    if types:
        described["type"] = types[0] if len(types) == 1 else types
    if "enum" in described:
        described["enum"] = [choice for choice in described["enum"] if choice is not None]
    if described.get("default", "") is None:
        del described["default"]
