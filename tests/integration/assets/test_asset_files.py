"""Files of assets on the real stores: many at once, much at once, and others at the trees meanwhile."""

import asyncio
import json
import random
import tracemalloc
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from iotsphere.api.assets.asset_bulk import told
from iotsphere.api.assets.asset_lines import ASSET_LINES
from iotsphere.api.bulk import Settled, import_entries
from iotsphere.assets.asset_line import AssetFile, AssetLine
from iotsphere.assets.errors import SearchTooCostlyError
from iotsphere.assets.model import MAX_CAPABILITIES_BYTES, MAX_PROPERTIES_BYTES
from iotsphere.assets.predicate import read_predicate
from iotsphere.assets.search import AssetFilter
from iotsphere.assets.service import AssetService
from iotsphere.containers.application import Application, create_container
from iotsphere.containers.stores import close_stores
from iotsphere.kernel.errors import DomainError
from iotsphere.kernel.identifiers import AssetId, DeviceId, OrganisationId
from iotsphere.workflows.asset_files import AssetFileWorkflow
from repositories.assets.asset_files import SqlAlchemyAssetFileRepository
from repositories.assets.unit_of_work import SqlAlchemyAssetsUnitOfWork
from repositories.availability import StoreGate
from tests.api.bench import NOWHERE
from tests.factories.assets import build_asset
from tests.integration.assets.test_moves import assert_tree_is_true

# Versions of which the history does not tell who made them.
UNTOLD = sa.text("""
SELECT count(*) FROM assets CROSS JOIN generate_series(1, assets.version) AS made
LEFT JOIN asset_changes AS told ON told.asset = assets.number AND told.version = made
WHERE organisation_id = :organisation_id AND told.actor IS DISTINCT FROM 'user:one'
""")


@dataclass(frozen=True)
class Files:
    """The application on both stores, and an organisation of this test's own."""

    container: Application
    ours: OrganisationId

    async def bring(self, lines: Iterable[bytes]) -> list[dict[str, Any]]:
        return [json.loads(line) async for piece in self._bring(lines) for line in piece.splitlines()]

    async def bring_and_forget(self, lines: Iterable[bytes]) -> None:
        async for _ in self._bring(lines):
            pass

    def _bring(self, lines: Iterable[bytes]) -> AsyncIterator[bytes]:
        async def find_refusal() -> None:
            """Find none: the caller may go on."""

        file = AssetFile(self.ours, actor="user:one")

        async def settle(lines: list[AssetLine]) -> list[Settled | DomainError]:
            files: AssetFileWorkflow = self.container.workflows.asset_files()
            return told(await files.settle_lines(file=file, lines=lines))

        return import_entries(ASSET_LINES.read_ndjson(lines), find_refusal=find_refusal, settle=settle)

    async def take_out(self) -> list[bytes]:
        written, cursor = [], None
        while True:
            page = await self.container.workflows.asset_files().list_assets(
                organisation_id=self.ours, narrowed_to=AssetFilter(), limit=500, cursor=cursor
            )
            written += ASSET_LINES.write_ndjson(page.items).splitlines(keepends=True)
            cursor = page.next_cursor
            if cursor is None:
                return written


@pytest_asyncio.fixture
async def files(registry_dsn: str, assets_dsn: str) -> AsyncIterator[Files]:
    container = create_container(replace(NOWHERE, registry_dsn=registry_dsn, assets_dsn=assets_dsn))
    yield Files(container, OrganisationId(uuid4()))
    await close_stores(container.stores)


def tree(count: int, *, fan: int = 8, **said: Any) -> Iterator[bytes]:
    """Give lines of which each is below the one that has an ``fan``-th of its number."""
    for number in range(count):
        line = {"key": f"{number}", "asset_type": "part", "name": f"Part {number}"} | said
        above = {"parent_key": f"{(number - 1) // fan}"} if number else {}
        yield json.dumps(line | above).encode() + b"\n"


async def test_four_files_come_while_others_move_and_remove_what_is_in_them(
    files: Files, assets_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Who waits as long as it usually may is not much disturbed.
    monkeypatch.setattr("iotsphere.assets.asset_line.WAIT_SECONDS", 0.01)
    monkeypatch.setattr("iotsphere.assets.asset_line.MOST_WAITS", 1_000)
    assets: AssetService = files.container.assets.assets()
    first = await files.bring(tree(100))
    ids = [AssetId(UUID(answer["id"])) for answer in first]
    chance = random.Random(6)  # noqa: S311  # no secret
    done = False

    def hostile() -> Iterator[bytes]:
        for number in range(50):
            parent = {"parent_id": str(chance.choice(ids))}
            yield json.dumps({"id": str(chance.choice(ids))} | parent).encode()
            yield json.dumps({"asset_type": "part", "name": f"New {number}"} | parent).encode()

    async def disturb() -> None:
        while not done:
            moved, parent = chance.choice(ids), chance.choice([None, *ids])
            try:
                if chance.random() < 0.2:
                    await assets.remove_asset(organisation_id=files.ours, asset_id=moved, expected_version=None)
                await assets.change_asset(
                    organisation_id=files.ours,
                    asset_id=moved,
                    changed_by="user:one",
                    patch={"parent_id": parent},
                    expected_version=None,
                )
            except DomainError:
                # Whatever is refused, the trees have to be true.
                await asyncio.sleep(0.01)

    disturbing = [asyncio.create_task(disturb()) for _ in range(3)]
    told_of = await asyncio.gather(*(files.bring(hostile()) for _ in range(4)))
    done = True
    await asyncio.gather(*disturbing)

    assert [len(answers) for answers in told_of] == [100] * 4
    codes = {answer.get("code") for answers in told_of for answer in answers}
    refusals = {"assets.asset.cycle", "assets.asset.not_found", "request.payload.invalid", "assets.tree.busy"}
    assert codes <= {None} | refusals
    statuses = {answer["status"] for answers in told_of for answer in answers}
    assert {"created", "updated", "rejected"} <= statuses
    await assert_tree_is_true(assets_engine, files.ours)
    async with assets_engine.connect() as connection:
        assert await connection.scalar(UNTOLD, {"organisation_id": files.ours}) == 0


async def test_files_that_change_the_same_assets_in_any_order_do_not_wait_for_each_other_for_ever(
    files: Files,
) -> None:
    ids = [answer["id"] for answer in await files.bring(tree(300))]
    changes = [
        [json.dumps({"id": asset_id, "properties": {f"by {n}": n}}).encode() for asset_id in random.sample(ids, 300)]
        for n in range(4)
    ]

    told_of = await asyncio.gather(*(files.bring(lines) for lines in changes))

    assert {answer["status"] for answers in told_of for answer in answers} == {"updated"}
    written = [json.loads(line) for line in await files.take_out()]
    assert all(asset["properties"] == {f"by {n}": n for n in range(4)} for asset in written)
    assert {asset["version"] for asset in written} == {5}


async def test_what_is_taken_out_is_put_back_unchanged(files: Files) -> None:
    answers = await files.bring(tree(1_200, properties={"": [1e300, -0.0, 2**70, None, {}], "ä'": {"n": None}}))
    assert {answer["status"] for answer in answers} == {"created"}

    written = await files.take_out()
    again = await files.bring(written)

    assert len(written) == 1_200
    assert {answer["status"] for answer in again} == {"unchanged"}
    seen: set[str | None] = {None}
    for line in written:
        asset = json.loads(line)
        assert asset.get("parent_id") in seen
        seen.add(asset["id"])


async def test_memory_does_not_grow_with_the_file(files: Files) -> None:
    await files.bring_and_forget(tree(500))

    peaks = []
    for count in (500, 2_000):
        tracemalloc.start()
        await files.bring_and_forget(tree(count))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    # But for the keys.
    assert peaks[1] < 1.5 * peaks[0] + 1_500 * 300, peaks


async def test_no_more_is_measured_by_a_statement_than_the_largest_assets_leave_time_for(
    assets_engine: AsyncEngine,
) -> None:
    named: list[int] = []

    def note(*executed: Any) -> None:
        named.append(max(len(given) for given in executed[3] if isinstance(given, list)))

    ids = [AssetId(uuid4()) for _ in range(500)]
    sa.event.listen(assets_engine.sync_engine, "before_cursor_execute", note)
    try:
        async with assets_engine.connect() as connection:
            found = await SqlAlchemyAssetFileRepository(connection).find_known(
                OrganisationId(uuid4()), asset_ids=ids, device_ids=[DeviceId(uuid4()) for _ in range(120)]
            )
    finally:
        sa.event.remove(assets_engine.sync_engine, "before_cursor_execute", note)

    assert found == []
    assert sum(named) == len(ids)
    assert max(named) * (MAX_PROPERTIES_BYTES + MAX_CAPABILITIES_BYTES) <= 64 * 1024 * 1024


async def test_a_predicate_that_takes_longer_than_a_statement_may_is_told_from_a_store_that_is_busy(
    assets_engine: AsyncEngine,
) -> None:
    ours = OrganisationId(uuid4())
    path = read_predicate('$.text like_regex "a*a*a*a*b"')
    large = build_asset(organisation_id=ours, properties={"text": "a" * 200_000})
    async with SqlAlchemyAssetsUnitOfWork(assets_engine, StoreGate("assets")) as uow:
        await uow.assets.add(large)
        await uow.commit()
    async with assets_engine.connect() as connection:
        repository = SqlAlchemyAssetFileRepository(connection)
        await connection.execute(sa.text("SET LOCAL statement_timeout = '2ms'"))
        with pytest.raises(SearchTooCostlyError):
            await repository.list(ours, AssetFilter(path=path), limit=10, cursor=None)


@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
async def test_a_predicate_is_held_against_nothing_that_an_export_does_not_go_past(
    assets_engine: AsyncEngine, plan: str
) -> None:
    ours, theirs = OrganisationId(uuid4()), OrganisationId(uuid4())
    async with SqlAlchemyAssetsUnitOfWork(assets_engine, StoreGate("assets")) as uow:
        await uow.assets.add(build_asset(organisation_id=ours, properties={"text": "a"}))
        for _ in range(20):
            await uow.assets.add(build_asset(organisation_id=theirs, properties={"text": "a" * 250_000}))
        await uow.commit()
    path = read_predicate(" || ".join(f'$.text like_regex "a*a*a*{n}"' for n in range(10)))
    async with assets_engine.connect() as connection:
        # For theirs it would take seconds.
        await connection.execute(sa.text("SET LOCAL statement_timeout = '300ms'"))
        await connection.execute(sa.text(f"SET LOCAL plan_cache_mode = {plan}"))
        page = await SqlAlchemyAssetFileRepository(connection).list(
            ours, AssetFilter(path=path), limit=100, cursor=None
        )

    assert page.items == []


async def test_what_is_much_larger_than_the_lines_that_change_it_is_changed_in_parts(files: Files) -> None:
    large = {"text": "x" * 250_000}
    ids = [answer["id"] for answer in await files.bring(tree(200, properties=large))]

    tracemalloc.start()
    answers = await files.bring(json.dumps({"id": asset_id, "name": "=small"}).encode() for asset_id in ids)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert {answer["status"] for answer in answers} == {"updated"}
    # Half of what is changed.
    assert peak < 25_000_000
