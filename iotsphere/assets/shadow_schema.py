"""The schema of a shadow: what devices of a type report, and what may be asked of them."""

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
from iotsphere.assets.schema_load import check_load, measure

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


def check_shadow_schema(schema: JsonObject, path: str) -> None:
    """Refuse what is no JSON Schema (2020-12), refers to anything outside of itself, or could take too long.

    :raises RuleViolationError: ``errors`` names the place below ``path``.
    """
    document = SchemaDocument(schema, path)
    check_load(document, path)
    ShadowSchema(schema)


class ShadowSchema:
    """A schema that was checked, ready to be held against states.

    ``reported`` is meant as it is written. Of ``desired`` nothing has to be there: it names only what shall change.
    """

    def __init__(self, schema: JsonObject) -> None:
        document = SchemaDocument(schema, "shadow_schema")
        self._load = measure(document, "shadow_schema")
        self._options = _options_in(schema)
        self._whole = _compile(document, is_whole=True)
        self._partial = _compile(document, is_whole=False)

    def violations(self, state: JsonObject, *, is_whole: bool, limit: int) -> list[SchemaViolation]:
        """Tell where a state breaks the schema: a whole one, or one that names only some of what there is."""
        validator = self._whole if is_whole else self._partial
        if validator.is_valid(state):
            return []
        if self._steps(state) > MAX_STEPS:
            return [((), "Does not fit the schema of the device type; to tell where would take too long.")]
        errors = validator.iter_errors(state)
        return [(tuple(error.instance_path), _told(error)) for error, _ in zip(errors, range(limit), strict=False)]

    def _steps(self, state: JsonObject) -> int:
        """Estimate what telling takes: an error comes with a copy of the value, and of the options."""
        values, copied = _sizes(state)
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
    return max((_sizes(options)[0] for options in _options(schema)), default=0)


def _options(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from (value[keyword] for keyword in ("enum", "const") if keyword in value)
        for member in value.values():
            yield from _options(member)
    elif isinstance(value, list):
        for element in value:
            yield from _options(element)


def _sizes(document: Any) -> tuple[int, int]:
    """Count the values in a document, itself included, and how many they are if each is counted with all below it."""
    if not isinstance(document, dict | list):
        return 1, 1
    inner = list(map(_sizes, document.values() if isinstance(document, dict) else document))
    values = 1 + sum(values for values, _ in inner)
    return values, values + sum(copied for _, copied in inner)
