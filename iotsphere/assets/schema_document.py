"""A JSON Schema (2020-12) taken apart: where in it schemas stand, what they apply to, and what they refer to.

What is understood here is all that ever counts: references stay within the document, and a keyword that is not listed
says nothing of a state.
"""

from collections.abc import Iterator
from enum import Enum, auto
from typing import Any
from urllib.parse import unquote

import jsonschema_rs

from iotsphere.assets.documents import SHOWN_KEY_LENGTH, JsonObject, refusal

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_SUBSCHEMAS = 1_000
MAX_MESSAGE_LENGTH = 200
# Dividing by what is much larger or smaller than that takes long.
DIVISORS = (1e-9, 1e15)
# Matches in linear time, whatever the pattern, and the patterns are kept small enough for that to be little.
PATTERNS = jsonschema_rs.RegexOptions(size_limit=64 * 1024, dfa_size_limit=1024 * 1024)

Schema = JsonObject | bool
Steps = tuple[str, ...]


class Reach(Enum):
    """What a schema in another one is applied to, when that other one is applied to a value."""

    SAME = auto()
    MEMBER = auto()
    """One member or element, by its name or place."""
    EACH = auto()
    """Any number of members or elements."""
    NOTHING = auto()
    """Nothing, unless it is referred to."""


APPLICATORS = {
    "not": Reach.SAME,
    "if": Reach.SAME,
    "then": Reach.SAME,
    "else": Reach.SAME,
    "allOf": Reach.SAME,
    "anyOf": Reach.SAME,
    "oneOf": Reach.SAME,
    "dependentSchemas": Reach.SAME,
    "properties": Reach.MEMBER,
    "prefixItems": Reach.MEMBER,
    "patternProperties": Reach.EACH,
    "additionalProperties": Reach.EACH,
    "unevaluatedProperties": Reach.EACH,
    "propertyNames": Reach.EACH,
    "items": Reach.EACH,
    "unevaluatedItems": Reach.EACH,
    "contains": Reach.EACH,
    "$defs": Reach.NOTHING,
    "definitions": Reach.NOTHING,
}
BY_NAME = frozenset({"dependentSchemas", "properties", "patternProperties", "$defs", "definitions"})
REFERENCES = ("$ref", "$dynamicRef")
ANCHORS = ("$anchor", "$dynamicAnchor")
# Of older dialects, and still heeded by some: a schema that relies on them would be taken for stricter than it is.
UNSUPPORTED = ("dependencies", "$recursiveRef", "$recursiveAnchor", "additionalItems")


class SchemaDocument:
    """A schema whose every reference leads to a schema in it.

    :raises RuleViolationError: it is none, or one that is not supported; ``errors`` names the place below ``path``.
    """

    def __init__(self, root: JsonObject, path: str) -> None:
        self.root = root
        self._path = path
        self._check_dialect()
        self._schemas: dict[Steps, Schema] = {}
        self._anchors: dict[str, JsonObject] = {}
        for steps, schema in self._walk():
            self._schemas[steps] = schema
            if isinstance(schema, dict):
                self._take_in(steps, schema)
        for steps, schema in self._schemas.items():
            if isinstance(schema, dict):
                self._check_references(steps, schema)

    def targets(self, schema: JsonObject) -> Iterator[Schema]:
        """Give the schemas that a schema refers to, and that are applied to the same value."""
        for keyword in REFERENCES:
            if keyword in schema:
                found = self._find(schema[keyword])
                if found is not None:
                    yield found

    def _check_dialect(self) -> None:
        if str(self.root.get("$schema", DIALECT)).removesuffix("#") != DIALECT:
            raise refusal(f"{self._path}.$schema", f"Only {DIALECT} is supported.")
        try:
            jsonschema_rs.meta.validate({**self.root, "$schema": DIALECT})
        except jsonschema_rs.ValidationError as error:
            raise refusal(self._below(error.instance_path), error.message[:MAX_MESSAGE_LENGTH]) from error

    def _walk(self) -> Iterator[tuple[Steps, Schema]]:
        pending: list[tuple[Steps, Schema]] = [((), self.root)]
        for _ in range(MAX_SUBSCHEMAS):
            if not pending:
                return
            steps, schema = pending.pop()
            yield steps, schema
            if isinstance(schema, dict):
                pending.extend(((*steps, *inner), subschema) for _, inner, subschema in subschemas(schema))
        if pending:
            raise refusal(self._path, f"Holds more than {MAX_SUBSCHEMAS} schemas.")

    def _take_in(self, steps: Steps, schema: JsonObject) -> None:
        for keyword in UNSUPPORTED:
            if keyword in schema:
                raise refusal(self._below(steps, keyword), "Is not supported: no keyword of this dialect.")
        if "$id" in schema and steps:
            raise refusal(self._below(steps, "$id"), "Is not supported below the top: one schema is one document.")
        for keyword in ANCHORS:
            if keyword in schema and self._anchors.setdefault(schema[keyword], schema) is not schema:
                raise refusal(self._below(steps, keyword), "Is the anchor of another schema.")
        if not DIVISORS[0] <= schema.get("multipleOf", 1) <= DIVISORS[1]:
            raise refusal(self._below(steps, "multipleOf"), f"Must be from {DIVISORS[0]} to {DIVISORS[1]}.")
        self._check_pattern(steps, schema.get("pattern"), "pattern")
        for pattern in schema.get("patternProperties", {}):
            self._check_pattern(steps, pattern, "patternProperties")

    def _check_pattern(self, steps: Steps, pattern: str | None, keyword: str) -> None:
        if pattern is None:
            return
        try:
            jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=PATTERNS, offline=True)
        except (jsonschema_rs.ValidationError, ValueError) as error:
            message = "Is no pattern, too large a one, or looks around or back, which is not supported."
            raise refusal(self._below(steps, keyword), message) from error

    def _check_references(self, steps: Steps, schema: JsonObject) -> None:
        for keyword in REFERENCES:
            if keyword in schema and self._find(schema[keyword]) is None:
                message = "Leads to no schema of this document, such as '#/$defs/name'. Nothing is fetched."
                raise refusal(self._below(steps, keyword), message)

    def _find(self, reference: str) -> Schema | None:
        if not reference.startswith("#"):
            return None
        fragment = unquote(reference[1:])
        if fragment and not fragment.startswith("/"):
            return self._anchors.get(fragment)
        return self._schemas.get(tuple(map(_unescaped, fragment.split("/")[1:])))

    def _below(self, steps: Any, *more: str) -> str:
        return ".".join(str(step)[:SHOWN_KEY_LENGTH] for step in (self._path, *steps, *more))


def subschemas(schema: JsonObject) -> Iterator[tuple[str, Steps, Schema]]:
    """Give the schemas that stand in a schema: by which keyword, on which way, and which."""
    for keyword in APPLICATORS:
        if keyword not in schema:
            continue
        value = schema[keyword]
        if keyword in BY_NAME:
            for name, inner in value.items():
                yield keyword, (keyword, name), inner
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                yield keyword, (keyword, str(index)), inner
        else:
            yield keyword, (keyword,), value


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")
