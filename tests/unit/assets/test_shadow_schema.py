"""What a schema of a shadow may be, what it says of a state, and what it may cost."""

import time
from typing import Any

import pytest

from iotsphere.assets.shadow_schema import ShadowSchema, check_shadow_schema
from iotsphere.kernel.errors import RuleViolationError

HEATING = {
    "type": "object",
    "properties": {
        "heating": {
            "type": "object",
            "properties": {"target": {"type": "number", "maximum": 80}, "mode": {"enum": ["eco", "boost"]}},
            "required": ["target"],
            "additionalProperties": False,
        }
    },
    "required": ["heating"],
}


def places_refused(schema: dict[str, Any]) -> list[str]:
    with pytest.raises(RuleViolationError) as refusal:
        check_shadow_schema(schema, "shadow_schema")
    assert all(len(message) < 300 for messages in refusal.value.errors.values() for message in messages)
    return list(refusal.value.errors)


def places(schema: dict[str, Any], state: dict[str, Any], *, is_whole: bool = True) -> list[str]:
    check_shadow_schema(schema, "shadow_schema")
    found = ShadowSchema(schema).violations(state, is_whole=is_whole, limit=20)
    return [".".join(map(str, way)) for way, _ in found]


def test_tells_where_and_why_a_state_does_not_fit() -> None:
    state = {"heating": {"target": 95, "mode": "party", "colour": 1}}

    violations = ShadowSchema(HEATING).violations(state, is_whole=True, limit=20)

    assert sorted(violations) == [
        (("heating",), "Additional properties are not allowed ('colour' was unexpected)"),
        (("heating", "mode"), 'It is not one of "eco" or "boost"'),
        (("heating", "target"), "It is greater than the maximum of 80"),
    ]


def test_names_no_more_places_than_it_is_asked_for() -> None:
    schema = ShadowSchema({"additionalProperties": {"type": "string"}})

    assert len(schema.violations({f"k{n}": n for n in range(100)}, is_whole=True, limit=20)) == 20


def test_what_is_wrong_is_told_in_few_words_whatever_the_state_holds() -> None:
    schema = ShadowSchema({"additionalProperties": False, "properties": {"a": {"enum": ["x" * 1000]}}})

    violations = schema.violations({"a": "y" * 30_000, "z" * 128: 1}, is_whole=True, limit=20)

    assert len(violations) == 2
    assert all(len(message) <= 201 for _, message in violations)


@pytest.mark.parametrize(
    ("schema", "state"),
    [
        (HEATING, {}),
        (HEATING, {"heating": {"mode": "eco"}}),
        ({"minProperties": 2}, {"a": 1}),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}),
        ({"$ref": "#/$defs/b", "$defs": {"b": {"required": ["a"]}}}, {}),
        ({"allOf": [{"required": ["a"]}]}, {}),
        ({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"c": 1}),
        ({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"c": 1}),
        ({"if": {"required": ["a"]}, "then": {"required": ["b"]}}, {"a": 1}),
        ({"dependentSchemas": {"a": {"required": ["b"]}}}, {"a": 1}),
        ({"properties": {"a": {"$ref": "#"}}, "required": ["b"]}, {"a": {}}),
        # What fails vouches for none of its members; what only lacks something must not fail.
        (
            {
                "allOf": [{"properties": {"a": {}}, "required": ["b"]}],
                "unevaluatedProperties": False,
            },
            {"a": 1},
        ),
    ],
)
def test_of_what_is_desired_nothing_has_to_be_there(schema: dict[str, Any], state: dict[str, Any]) -> None:
    assert places(schema, state, is_whole=True) != []
    assert places(schema, state, is_whole=False) == []


@pytest.mark.parametrize(
    ("schema", "state", "place"),
    [
        (HEATING, {"heating": {"target": 95}}, "heating.target"),
        # Arrays are given whole.
        ({"properties": {"steps": {"items": {"required": ["at"]}}}}, {"steps": [{"at": 1}, {}]}, "steps.1"),
        (
            {
                "properties": {"steps": {"items": {"$ref": "#/$defs/s"}}, "step": {"$ref": "#/$defs/s"}},
                "$defs": {"s": {"required": ["at"]}},
            },
            {"steps": [{}], "step": {}},
            "steps.0",
        ),
        # What is forbidden is not what is asked for.
        ({"not": {"required": ["a", "b"]}}, {"a": 1, "b": 2}, ""),
        (
            {
                "if": {"properties": {"mode": {"const": "eco"}}, "required": ["mode"]},
                "then": {"properties": {"target": {"maximum": 50}}},
            },
            {"mode": "eco", "target": 60},
            "target",
        ),
        ({"oneOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"a": {"const": 2}}}]}, {"a": 3}, ""),
    ],
)
def test_what_is_desired_has_to_fit_where_it_is_named(
    schema: dict[str, Any], state: dict[str, Any], place: str
) -> None:
    assert places(schema, state, is_whole=False) == [place]


def test_a_condition_that_needs_a_member_does_not_hold_where_it_is_not_named() -> None:
    schema = {
        "if": {"properties": {"mode": {"const": "eco"}}, "required": ["mode"]},
        "then": {"properties": {"target": {"maximum": 50}}},
    }

    assert places(schema, {"target": 60}, is_whole=False) == []


@pytest.mark.parametrize(
    "schema",
    [
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "https://example.com/boiler",
            "title": "B",
        },
        {"$defs": {"a/b~c%": {"type": "number"}}, "properties": {"a": {"$ref": "#/$defs/a~1b~0c%25"}}},
        {"$defs": {"n": {"$anchor": "n", "type": "number"}}, "properties": {"a": {"$ref": "#n"}}},
        {"$defs": {"n": {"$dynamicAnchor": "n", "type": "number"}}, "properties": {"a": {"$dynamicRef": "#n"}}},
        {"properties": {"a": {"type": "number"}, "b": {"$ref": "#/properties/a"}}},
        {"additionalProperties": {"$ref": "#"}, "type": ["object", "number"]},
        {"x-unit": {"$ref": "https://example.com/not-a-schema"}, "unheard-of": 1},
    ],
)
def test_whatever_refers_to_itself_alone_is_taken(schema: dict[str, Any]) -> None:
    assert places(schema, {"a": 1, "b": 2}) == []


def test_references_lead_where_they_say() -> None:
    schema = {
        "$defs": {"a/b~c%": {"type": "number"}, "n": {"$anchor": "n", "type": "boolean"}},
        "properties": {"a": {"$ref": "#/$defs/a~1b~0c%25"}, "b": {"$ref": "#n"}},
    }

    assert sorted(places(schema, {"a": "x", "b": "y"})) == ["a", "b"]


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"properties": {"heating": {"type": "nonsense"}}}, "properties.heating.type"),
        ({"properties": {"a": {"minimum": "1"}}}, "properties.a.minimum"),
        ({"properties": []}, "properties"),
        ({"required": "a"}, "required"),
        ({"items": [{}]}, "items"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "$schema"),
        ({"$schema": 7}, "$schema"),
        ({"properties": {"a": {"$ref": "https://example.com/schema"}}}, "properties.a.$ref"),
        ({"$ref": "file:///etc/passwd"}, "$ref"),
        ({"$id": "https://example.com/a", "$ref": "b"}, "$ref"),
        ({"$id": "https://example.com/a", "$ref": "https://example.com/a"}, "$ref"),
        ({"$ref": "#/$defs/missing"}, "$ref"),
        ({"$ref": "#missing"}, "$ref"),
        ({"$ref": "#/enum/0", "enum": [{"type": "object"}]}, "$ref"),
        ({"$dynamicRef": "https://json-schema.org/draft/2020-12/schema"}, "$dynamicRef"),
        ({"properties": {"a": {"$id": "https://example.com/b"}}}, "properties.a.$id"),
        ({"$defs": {"a": {"$anchor": "x"}, "b": {"$anchor": "x"}}}, None),
        ({"properties": {"a": {"pattern": "("}}}, "properties.a.pattern"),
        ({"properties": {"a": {"pattern": "(?=a)b"}}}, "properties.a.pattern"),
        ({"properties": {"a": {"pattern": r"(a)\1"}}}, "properties.a.pattern"),
        ({"properties": {"a": {"pattern": "(a{1000}){1000}"}}}, "properties.a.pattern"),
        ({"patternProperties": {"[": {}}}, "patternProperties"),
        ({"dependencies": {"a": ["b"]}}, "dependencies"),
        ({"multipleOf": 1e-300}, "multipleOf"),
        ({"multipleOf": 10**300}, "multipleOf"),
    ],
)
def test_what_is_no_schema_is_refused_with_its_place(schema: dict[str, Any], place: str | None) -> None:
    (refused,) = places_refused(schema)

    assert place is None or refused.startswith(f"shadow_schema.{place}")


def doubling(keyword: str, steps: int) -> dict[str, Any]:
    """A few lines that ask for two to the power of ``steps`` checks."""
    definitions: dict[str, Any] = {
        f"d{step}": {keyword: [{"$ref": f"#/$defs/d{step + 1}"}, {"$ref": f"#/$defs/d{step + 1}"}]}
        for step in range(steps)
    }
    return {"$ref": "#/$defs/d0", "$defs": definitions | {f"d{steps}": {"type": "string"}}}


def looking_again(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"properties": {"a": True}}
    for _ in range(levels):
        schema = {"allOf": [schema], "unevaluatedProperties": False}
    return schema


HOSTILE = {
    "itself": {"$ref": "#"},
    "itself, negated": {"not": {"allOf": [{"$ref": "#"}]}},
    "two that lead to each other": {
        "$ref": "#/$defs/a",
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
    },
    "a long chain": {
        "$ref": "#/$defs/d0",
        "$defs": {f"d{step}": {"$ref": f"#/$defs/d{step + 1}"} for step in range(900)} | {"d900": {}},
    },
    "doubling, 18 times": doubling("anyOf", 18),
    "doubling, 15 times": doubling("allOf", 15) | {"additionalProperties": {"$ref": "#/$defs/d5"}},
    "branches at every level": {"anyOf": [{"additionalProperties": {"$ref": "#"}, "minProperties": 9}] * 6},
    "looking again and again": looking_again(24),
    "many documents to compare with": {"additionalProperties": {"enum": [{"a": n} for n in range(3000)]}},
    "many patterns": {"properties": {"a": {"allOf": [{"pattern": f"a{{{n}}}"} for n in range(1, 40)]}}},
    "many schemas": {"properties": {f"k{n}": {} for n in range(5000)}},
}


@pytest.mark.parametrize("schema", HOSTILE.values(), ids=HOSTILE)
def test_what_could_take_too_long_is_refused_before_it_does(schema: dict[str, Any]) -> None:
    began = time.process_time()

    assert places_refused(schema) == ["shadow_schema"]

    assert time.process_time() - began < 1


WORST: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "doubling, 14 times": (doubling("anyOf", 14), {"a": 1}),
    "a large union": (
        {"anyOf": [{"properties": {"kind": {"const": n}}, "required": ["kind"]} for n in range(300)]},
        {"kind": -1, "values": [1] * 10_000},
    ),
    "documents in arrays": (
        {"additionalProperties": {"items": {"allOf": [{"not": {"const": [n]}} for n in range(7)]}}},
        {"a": [[9]] * 8_000},
    ),
    "many options": ({"additionalProperties": {"items": {"enum": list(range(5000))}}}, {"a": [5001] * 5_000}),
    "division": ({"additionalProperties": {"items": {"multipleOf": 1e-9}}}, {"a": [1.7] * 8_000}),
    "patterns": (
        {"properties": {"a": {"allOf": [{"pattern": f"^[ab]*a[ab]{{{270 + n}}}$"} for n in range(25)]}}},
        {"a": "ab" * 8000 + "a" * 8000 + "b" * 8000},
    ),
    "a pattern that others backtrack on": ({"properties": {"a": {"pattern": "^(a+)+$"}}}, {"a": "a" * 32_000 + "b"}),
    "what is unique": ({"properties": {"a": {"uniqueItems": True}}}, {"a": [{"a": [n]} for n in range(3000)]}),
}


@pytest.mark.parametrize("is_whole", [True, False])
@pytest.mark.parametrize(("schema", "state"), WORST.values(), ids=WORST)
def test_the_worst_that_is_taken_does_not_take_long(
    schema: dict[str, Any], state: dict[str, Any], is_whole: bool
) -> None:
    check_shadow_schema(schema, "shadow_schema")
    compiled = ShadowSchema(schema)
    began = time.process_time()

    compiled.violations(state, is_whole=is_whole, limit=20)

    # On a quiet machine 40 ms at the most.
    assert time.process_time() - began < 0.5


def test_the_verdict_is_given_also_where_it_would_take_long_to_tell_where() -> None:
    schema, state = WORST["many options"]

    ((way, message),) = ShadowSchema(schema).violations(state, is_whole=True, limit=20)

    assert way == ()
    assert "too long" in message
