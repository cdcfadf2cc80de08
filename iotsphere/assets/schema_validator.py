"""A schema that was understood, compiled: a transcript with nothing in it but what counts, held against values."""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs

from iotsphere.assets.documents import JsonObject
from iotsphere.assets.schema_document import (
    APPLICATORS,
    BY_NAME,
    MAX_MESSAGE_LENGTH,
    PATTERNS,
    Schema,
    SchemaDocument,
)
from iotsphere.assets.schema_load import Load

# What says that something has to be there. Who asks names only what shall change.
PRESENCE = frozenset({"required", "minProperties", "dependentRequired"})
ASSERTIONS = PRESENCE | {
    "type",
    "enum",
    "const",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxContains",
    "minContains",
    "maxProperties",
}
# Always meant as they are written: arrays are given whole, and what is forbidden or decides is not what is asked for.
TAKEN_WHOLE = frozenset(
    {"not", "if", "propertyNames", "items", "prefixItems", "contains", "unevaluatedItems"},
)
# What telling every violation may cost, in steps of about 0.1 µs; beyond that only the verdict is given.
MAX_STEPS = 500_000
STEPS_PER_ERROR = 30

SchemaViolation = tuple[tuple[str | int, ...], str]
"""The way to a value, and what is wrong with it."""


class SchemaValidator:
    """Holds values against a schema: whole ones, or such as name only some of what there is."""

    def __init__(self, document: SchemaDocument, load: Load, *, is_whole: bool) -> None:
        self._load = load
        self._options = _options_in(document.root)
        self._compiled = _compile(document, is_whole=is_whole)

    def violations(self, value: JsonObject, *, limit: int) -> list[SchemaViolation]:
        if self._compiled.is_valid(value):
            return []
        if self._steps(value) > MAX_STEPS:
            return [((), "Does not fit the schema of the device type; to tell where would take too long.")]
        errors = self._compiled.iter_errors(value)
        return [(tuple(error.instance_path), _told(error)) for error, _ in zip(errors, range(limit), strict=False)]

    def _steps(self, value: JsonObject) -> int:
        """Estimate what telling takes: an error comes with a copy of the value, and of the options."""
        values, copied = sizes(value)
        return self._load.checks(values) * (STEPS_PER_ERROR + self._options) + self._load.peak * copied


def _told(error: jsonschema_rs.ValidationError) -> str:
    message = error.message
    return message if len(message) <= MAX_MESSAGE_LENGTH else f"{message[:MAX_MESSAGE_LENGTH]}…"


def _compile(document: SchemaDocument, *, is_whole: bool) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(
        _Transcript(document).write(is_whole=is_whole),
        pattern_options=PATTERNS,
        offline=True,
        validate_formats=False,
        # What it is, the way to it says; it may be large.
        mask="It",
    )


class _Transcript:
    """A document written anew, with nothing in it but what was understood, and maybe without what must be there.

    A schema that is referred to stands in it once for each of the two ways in which it may be meant.
    """

    def __init__(self, document: SchemaDocument) -> None:
        self._document = document
        self._names: dict[tuple[int, bool], str] = {}
        self._pending: list[tuple[str, Schema, bool]] = []

    def write(self, *, is_whole: bool) -> JsonObject:
        written: JsonObject = {"$ref": self._reference(self._document.root, is_whole), "$defs": {}}
        while self._pending:
            name, schema, is_meant_whole = self._pending.pop()
            written["$defs"][name] = self._schema(schema, is_meant_whole)
        return written

    def _reference(self, schema: Schema, is_whole: bool) -> str:
        key = id(schema), is_whole
        if key not in self._names:
            self._names[key] = f"{len(self._names)}"
            self._pending.append((self._names[key], schema, is_whole))
        return f"#/$defs/{self._names[key]}"

    def _schema(self, schema: Schema, is_whole: bool) -> Schema:
        if isinstance(schema, bool):
            return schema
        kept = ASSERTIONS if is_whole else ASSERTIONS - PRESENCE
        written = {keyword: value for keyword, value in schema.items() if keyword in kept}
        conjuncts = [{"$ref": self._reference(target, is_whole)} for target in self._document.targets(schema)]
        for keyword in APPLICATORS.keys() & schema.keys() - {"$defs", "definitions"}:
            value = self._value(keyword, schema[keyword], is_whole or keyword in TAKEN_WHOLE)
            if keyword == "allOf":
                conjuncts += value
            elif keyword == "oneOf" and not is_whole:
                # What tells one from the others may be what is not named.
                conjuncts.append({"anyOf": value})
            else:
                written[keyword] = value
        return written | ({"allOf": conjuncts} if conjuncts else {})

    def _value(self, keyword: str, value: Any, is_whole: bool) -> Any:
        if keyword in BY_NAME:
            return {name: self._schema(inner, is_whole) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._schema(inner, is_whole) for inner in value]
        return self._schema(value, is_whole)


def _options_in(schema: Any) -> int:
    """Give the size of the largest set of options, in values."""
    return max((sizes(options)[0] for options in _options(schema)), default=0)


def _options(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from (value[keyword] for keyword in ("enum", "const") if keyword in value)
        for member in value.values():
            yield from _options(member)
    elif isinstance(value, list):
        for element in value:
            yield from _options(element)


def sizes(document: Any) -> tuple[int, int]:
    """Count the values in a document, itself included, and how many they are if each is counted with all below it."""
    if not isinstance(document, dict | list):
        return 1, 1
    inner = list(map(sizes, document.values() if isinstance(document, dict) else document))
    values = 1 + sum(values for values, _ in inner)
    return values, values + sum(copied for _, copied in inner)
