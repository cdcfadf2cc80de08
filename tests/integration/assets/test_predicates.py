"""What PostgreSQL makes of predicates that were read and written anew."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings

from iotsphere.assets.predicate import MAX_CONDITIONS, Range, read_predicate
from iotsphere.kernel.errors import RuleViolationError
from tests.factories.predicates import documents, mutated_predicates, predicates

STRANGERS = 100
DOCUMENTS = documents()

Connection = psycopg.Connection[Any]
many = settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def connection(assets_dsn: str) -> Iterator[Connection]:
    """A connection with the time-out that requests have, beside properties of which predicates speak, and others."""
    with psycopg.connect(assets_dsn, autocommit=True) as connection:
        connection.execute("SET statement_timeout = '1900ms'")
        connection.execute("CREATE TEMPORARY TABLE strangers (properties jsonb)")
        connection.execute(
            """INSERT INTO strangers SELECT jsonb_build_object('unheard of', n) FROM generate_series(1, %s) n""",
            [STRANGERS],
        )
        connection.execute("CREATE INDEX ON strangers USING gin (properties jsonb_path_ops)")
        connection.execute("SET enable_seqscan = off")
        connection.execute(
            "CREATE TEMPORARY TABLE acquaintances (n int GENERATED ALWAYS AS IDENTITY, properties jsonb)"
        )
        connection.execute(
            "INSERT INTO acquaintances (properties) SELECT value FROM jsonb_array_elements(%s::text::jsonb)",
            [json.dumps(DOCUMENTS)],
        )
        yield connection


def fitting(connection: Connection, predicate: str) -> list[bool | None]:
    """Tell which of the acquaintances fit a predicate, and of which that cannot be said."""
    rows = connection.execute("SELECT properties @@ %s::jsonpath FROM acquaintances ORDER BY n", [predicate])
    return [fits for (fits,) in rows]


def candidates(connection: Connection, predicate: str) -> int:
    """Count what the index gives back for a predicate, without what it then turns out to be."""
    ((plan,),) = connection.execute(
        "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) SELECT FROM strangers WHERE properties @@ %s::jsonpath",
        [predicate],
    )
    (scan,) = plan[0]["Plan"]["Plans"]
    assert scan["Node Type"] == "Bitmap Index Scan"
    return int(scan["Actual Rows"])


def numbers_at(value: Any, keys: tuple[str, ...]) -> Iterator[float]:
    """Give the numbers to which members lead, arrays gone through wherever there are some."""
    if isinstance(value, list):
        for element in value:
            yield from numbers_at(element, keys)
    elif keys:
        if isinstance(value, dict) and keys[0] in value:
            yield from numbers_at(value[keys[0]], keys[1:])
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


def is_met(found: Range, document: dict[str, Any]) -> bool:
    return any(found.at_least <= number <= found.at_most for number in numbers_at(document, found.keys))


@many
@given(text=predicates())
def test_what_is_written_anew_means_the_same_and_implies_its_ranges(connection: Connection, text: str) -> None:
    predicate = read_predicate(text)

    fits = fitting(connection, predicate.text)

    assert fits == fitting(connection, text)
    for document, does_fit in zip(DOCUMENTS, fits, strict=True):
        if does_fit:
            assert all(is_met(found, document) for found in predicate.ranges)


@many
@given(text=mutated_predicates())
@example(text='$starts with ""')
def test_what_is_read_at_all_is_read_by_postgresql_too(connection: Connection, text: str) -> None:
    try:
        predicate = read_predicate(text)
    except RuleViolationError:
        return
    assert fitting(connection, predicate.text) == fitting(connection, text)


@many
@given(text=predicates())
def test_the_index_narrows_down_what_is_said_to_be_indexed(connection: Connection, text: str) -> None:
    predicate = read_predicate(text)

    found = candidates(connection, predicate.text)

    if predicate.indexed is not None:
        assert found == candidates(connection, predicate.indexed) == 0
        of_part = fitting(connection, predicate.indexed)
        assert all(part for part, fits in zip(of_part, fitting(connection, predicate.text), strict=True) if fits)
    elif not any(negation in text for negation in ("!(", "! (")):
        # Of what is negated twice the index takes more than we say.
        assert found == STRANGERS


def seconds(connection: Connection, predicate: str, properties: dict[str, Any]) -> float:
    """Give how long PostgreSQL takes for one asset, in the best of three attempts."""
    connection.execute("CREATE TEMPORARY TABLE IF NOT EXISTS large (properties jsonb)")
    connection.execute("TRUNCATE large")
    connection.execute("INSERT INTO large VALUES (%s::text::jsonb)", [json.dumps(properties)])
    taken = []
    for _ in range(3):
        started = perf_counter()
        connection.execute("SELECT properties @@ %s::jsonpath FROM large", [predicate])
        taken.append(perf_counter() - started)
    return min(taken)


def test_what_the_documentation_says_is_true_of_an_asset_is(connection: Connection) -> None:
    section = (Path(__file__).parents[3] / "docs/assets.md").read_text().partition("## Asking by a predicate")[2]
    (properties,) = re.findall(r"```json\n(.*?)```", section, re.DOTALL)
    # In a table, what parts two columns is escaped in code too.
    cells = " ".join(re.findall(r"^\| (`.*?`) \| ", section, re.MULTILINE)).replace(r"\|", "|")
    shown = re.findall(r"`(.+?)`", cells)

    fits = [
        connection.execute(
            "SELECT %s::text::jsonb @@ %s::jsonpath", [properties, read_predicate(text).text]
        ).fetchone()
        for text in shown
    ]

    assert len(shown) == 17
    assert fits == [(True,)] * len(shown)


@pytest.mark.parametrize(
    ("predicate", "element"),
    [
        (f"exists($.a[*] ? ({' || '.join(['@[*][*][*] == 1'] * 19)}))", 0),
        (" && ".join(["$.a != 0"] * MAX_CONDITIONS), 0),
        (f"exists($.a[*]{' ? (@ == 0)' * 16}.b)", 0),
        (f'$.a like_regex "{"a*" * 49}c"', "a"),
    ],
)
def test_the_worst_that_is_let_in_takes_longer_as_the_properties_are_longer_and_no_more(
    connection: Connection, predicate: str, element: int | str
) -> None:
    rendered = read_predicate(predicate).text

    short, long = (seconds(connection, rendered, {"a": [element] * length}) for length in (1_000, 32_000))

    # 32 times as long, and 1 024 times if each element met every other one. Others may be at work meanwhile.
    assert long < 300 * short
