"""Whatever predicate is sent: it is answered or refused, in time, and nobody sees what is another organisation's."""

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest_asyncio
import sqlalchemy as sa
from dependency_injector import providers
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.kernel.identifiers import OrganisationId
from iotsphere.localstack.stack import LocalStack, create_database
from repositories.assets.search_settings import SEARCH_SETTINGS
from repositories.assets.unit_of_work import SqlAlchemyAssetSearchUnitOfWork
from repositories.availability import StoreGate
from repositories.migrations import upgrade
from repositories.sql import create_store_engine
from tests.api.bench import ApiBench, WiredApplication
from tests.factories.predicates import FRAGMENTS, documents, mutated_predicates, predicates

OURS, THEIRS = "the crane is ours", "the kiln is theirs"
# Near the 256 KiB that properties may have, of the elements that are looked at longest.
LARGE: list[dict[str, Any]] = [{"a": [0] * 130_000, "b": "b"}, {"a": "a", "b": ["a"] * 60_000}]
WORST = f"exists($.a[*] ? ({' || '.join(['@[*][*][*] == -1'] * 19)}))"
INJECTIONS = (
    "' OR '1'='1",
    "'::jsonpath OR true --",
    "; DELETE FROM assets; --",
    "$1",
    ":path",
    "%s",
    "%(path)s",
    "}}",
)
REFUSALS = {
    "assets.predicate.malformed",
    "assets.predicate.pattern_unsupported",
    "assets.predicate.too_large",
    "assets.search.too_costly",
    # What no text in a query can hold.
    "request.payload.invalid",
}
ADDED = sa.text("""
    INSERT INTO assets
        (id, organisation_id, asset_type, name, properties, capabilities, created_at, updated_at, version)
    SELECT gen_random_uuid(), CAST(:organisation_id AS uuid), 'machine', CAST(:name AS text), value, '[]',
           timestamptz '2026-01-01' + n * interval '1 second', timestamptz '2026-01-01', 1
    FROM jsonb_array_elements(CAST(CAST(:properties AS text) AS jsonb)) WITH ORDINALITY AS d (value, n)
""")
FITTING = sa.text("""
    SELECT id FROM assets
    WHERE organisation_id = :organisation_id AND properties @@ CAST(CAST(:path AS text) AS jsonpath)
""")


class Fleet:
    """The application on a real asset database, in which two organisations have the same but for the names."""

    def __init__(self, engine: AsyncEngine, patient: AsyncEngine) -> None:
        self.patient = patient
        self.bench = ApiBench(WiredApplication())
        self.ours, self.theirs = (OrganisationId(self.bench.ours.id), OrganisationId(self.bench.theirs.id))
        self.bench.container.stores.search_unit_of_work.override(
            providers.Factory(SqlAlchemyAssetSearchUnitOfWork, engine, StoreGate("assets"))
        )

    async def populate(self) -> None:
        async with self.patient.begin() as connection:
            for organisation_id, name in ((self.ours, OURS), (self.theirs, THEIRS)):
                for properties in (documents(), LARGE if name is OURS else [], [{"a": name, "b": 7}] * 300):
                    given = {"organisation_id": organisation_id, "name": name, "properties": json.dumps(properties)}
                    await connection.execute(ADDED, given)
            await connection.execute(sa.text("ANALYZE assets"))

    async def ask(self, path: str, **query: str) -> tuple[int, Any]:
        said = urlencode({"path": path, "limit": 500, **query}, errors="replace")
        answer = await self.bench.get(f"/assets?{said}", by="viewer")
        return answer.status, answer.json

    async def fitting(self, path: str) -> set[str]:
        async with self.patient.connect() as connection:
            found = await connection.execute(FITTING, {"organisation_id": self.ours, "path": path})
            return {str(asset_id) for asset_id in found.scalars()}


@pytest_asyncio.fixture(scope="module")
async def fleet(stack: LocalStack) -> AsyncIterator[Fleet]:
    dsn = await create_database(stack, "assets_hostile", timescaledb=False)
    upgrade("assets", dsn)
    engine = create_store_engine(dsn, settings=SEARCH_SETTINGS)
    patient = create_store_engine(dsn, command_seconds=60)
    fleet = Fleet(engine, patient)
    await fleet.populate()
    yield fleet
    fleet.bench.container.unwire()
    await engine.dispose()
    await patient.dispose()


def texts() -> st.SearchStrategy[str]:
    """Predicates, what nearly is one, and anything at all."""
    pieces = st.lists(st.sampled_from([*FRAGMENTS, *INJECTIONS]), max_size=6).map("".join)
    return st.one_of(predicates(), predicates(), mutated_predicates(), pieces, st.text())


async def test_a_predicate_finds_what_it_is_true_of(fleet: Fleet) -> None:
    status, answer = await fleet.ask(f'$.a == "{OURS}" && $.b > 6')

    assert status == 200
    assert len(answer["items"]) == 300


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(path=texts(), sort=st.sampled_from(["created_at", "-created_at", "name", "properties.a", "-properties.b"]))
@example(path=f'$.a == "{THEIRS}"', sort="created_at")
@example(path=f'!($.a == "{OURS}")', sort="name")
@example(path="$.a[*] == $.a[*]", sort="created_at")
@example(path=WORST, sort="created_at")
@example(path=f'$.b like_regex "{"a*" * 49}c"', sort="properties.b")
async def test_every_predicate_is_answered_with_our_own_assets_or_refused(fleet: Fleet, path: str, sort: str) -> None:
    status, answer = await fleet.ask(path, sort=sort)

    assert status in {200, 422}
    if status == 422:
        assert answer["code"] in REFUSALS
        return
    found = [*answer["items"]]
    while answer["next_cursor"] is not None:
        status, answer = await fleet.ask(path, sort=sort, cursor=answer["next_cursor"])
        assert status == 200
        found += answer["items"]
    assert all(asset["name"] == OURS for asset in found)
    assert sorted(asset["id"] for asset in found) == sorted(await fleet.fitting(path))
