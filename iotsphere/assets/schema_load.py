"""How much work a schema can make of a state, told before any state is there.

Nothing stops a validation once it has begun, and a few lines of schema can ask for more than anybody lives to see:
references that double at every step, or branches that each look at the whole again. What a state can be is limited
(32 KiB, 8 levels), so what a schema can cost with one is counted beforehand, and one that can cost too much is none.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from iotsphere.assets.documents import JsonObject, refusal
from iotsphere.assets.schema_document import APPLICATORS, Reach, Schema, SchemaDocument, subschemas

# What a state of 32 KiB can have of both; the limits are the shadow's (``iotsphere/shadow/limits.py``).
MAX_LEVELS = 8
MAX_VALUES = 16 * 1024
# A check takes about 0.1 µs: 40 ms for the worst state of the worst schema.
MAX_CHECKS = 400_000
# The texts and keys of one state, 32 KiB, held against the worst pattern: about 2 ms.
MAX_PATTERNS = 25
# So many schemas may be applied to one value, each because of the one before.
MAX_CHAIN = 32
# Dividing takes longer than comparing, and so does comparing with a document.
DIVISION_CHECKS = 10
NAMES_PER_CHECK = 8


class Load(NamedTuple):
    """What applying a schema to a value costs at the most.

    ``once`` are the checks of values that have a name or a place of their own, ``each`` those of every other value
    below, ``peak`` those of any one value, and ``patterns`` how many patterns are held against any one text.
    """

    once: int = 0
    each: int = 0
    peak: int = 0
    patterns: int = 0
    chain: int = 0

    def checks(self, values: int) -> int:
        """Tell how many checks there are of a state of so many values."""
        return self.once + self.each * values

    def plus(self, other: "Load", times: int = 1) -> "Load":
        """Add what is applied to the same value."""
        return Load(
            self.once + other.once * times,
            self.each + other.each * times,
            self.peak + other.peak * times,
            self.patterns + other.patterns * times,
            max(self.chain, other.chain),
        )


def check_load(document: SchemaDocument, path: str, *, levels: int = MAX_LEVELS) -> None:
    """:raises RuleViolationError: the schema could take too long with a state, or with as many values."""
    load = measure(document, path, levels=levels)
    if load.checks(MAX_VALUES) > MAX_CHECKS:
        raise refusal(path, "Could take too long: too many schemas apply to the same values.")
    if load.patterns > MAX_PATTERNS:
        raise refusal(path, f"Could take too long: more than {MAX_PATTERNS} patterns apply to the same text.")


def measure(document: SchemaDocument, path: str, *, levels: int = MAX_LEVELS) -> Load:
    """:raises RuleViolationError: schemas lead to each other without end, or nearly."""
    return _Measurement(document, path).of(document.root, levels, 0)


class _Measurement:
    def __init__(self, document: SchemaDocument, path: str) -> None:
        self._document = document
        self._path = path
        self._known: dict[tuple[int, int], Load] = {}

    def of(self, schema: Schema, levels: int, chain: int) -> Load:
        if isinstance(schema, bool):
            return Load(once=1, peak=1, chain=1)
        key = id(schema), levels
        if key not in self._known:
            if chain > MAX_CHAIN:
                raise self._endless()
            self._known[key] = self._of_object(schema, levels, chain)
        if self._known[key].chain > MAX_CHAIN:
            raise self._endless()
        return self._known[key]

    def _of_object(self, schema: JsonObject, levels: int, chain: int) -> Load:
        beside, members, every = Load(), [Load()], Load()
        for target in self._document.targets(schema):
            beside = beside.plus(self.of(target, levels, chain + 1))
        for keyword, _, inner in subschemas(schema):
            match APPLICATORS[keyword]:
                case Reach.SAME:
                    beside = beside.plus(self.of(inner, levels, chain + 1))
                case Reach.MEMBER if levels:
                    members.append(self.of(inner, levels - 1, 0))
                case Reach.EACH if levels:
                    every = every.plus(self.of(inner, levels - 1, 0))
        # What is left over is known only when all that stands beside was looked at again.
        times = 2 if {"unevaluatedProperties", "unevaluatedItems"} & schema.keys() else 1
        own, patterns = _own_checks(schema), len(schema.get("patternProperties", ())) + ("pattern" in schema)
        below = Load(
            once=sum(member.once for member in members),
            each=max(member.each for member in members) + every.peak,
            peak=max(own, max(member.peak for member in members) + every.peak),
            patterns=max(member.patterns for member in members) + every.patterns + patterns,
        )
        # The chain goes on through what stands beside, and begins anew below.
        return below.plus(beside, times)._replace(once=own + below.once + beside.once * times, chain=beside.chain + 1)

    def _endless(self) -> Exception:
        return refusal(self._path, f"More than {MAX_CHAIN} schemas lead to each other at one and the same value.")


def _own_checks(schema: JsonObject) -> int:
    names = len(schema.get("properties", ())) + len(schema.get("required", ()))
    return (
        1
        + names // NAMES_PER_CHECK
        + DIVISION_CHECKS * ("multipleOf" in schema)
        + _documents_in([*schema.get("enum", ()), schema.get("const")])
        + len(schema.get("patternProperties", ()))
    )


def _documents_in(options: Iterable[Any]) -> int:
    """Count what is compared member by member; scalars are looked up together."""
    return sum(isinstance(option, dict | list) for option in options)
