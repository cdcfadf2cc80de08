"""Many writers at one shadow, from several processes as far as the store can tell."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from iotsphere.shadow.errors import ShadowVersionConflictError
from iotsphere.shadow.model import ShadowChange, ShadowKey, ShadowPatch
from tests.integration.shadow.conftest import ATTEMPT, Process

WRITERS = 20
PATCHES = 20


@pytest_asyncio.fixture
async def processes(shadow_url: str) -> AsyncIterator[list[Process]]:
    processes = [Process.at(shadow_url) for _ in range(4)]
    yield processes
    for process in processes:
        await process.store.close()


async def write(process: Process, key: ShadowKey, patch: ShadowPatch) -> ShadowChange:
    return await process.service.update_shadow(key=key, attempt=ATTEMPT, patch=patch)


async def test_twenty_writers_of_twenty_patches_lose_none(processes: list[Process], key: ShadowKey) -> None:
    async def write_all(writer: int) -> list[int]:
        process = processes[writer % len(processes)]
        section = "desired" if writer % 2 else "reported"
        changes = [
            await write(process, key, ShadowPatch({section: {f"w{writer}": {f"p{number}": number}}}))
            for number in range(PATCHES)
        ]
        return [change.version for change in changes]

    versions = await asyncio.gather(*map(write_all, range(WRITERS)))

    given = sorted(version for of_writer in versions for version in of_writer)
    assert given == list(range(1, WRITERS * PATCHES + 1))
    shadow = await processes[0].service.get_shadow(key=key)
    assert shadow.version == WRITERS * PATCHES
    assert shadow.versions == {"desired": 200, "reported": 200}
    everything = shadow.state["desired"] | shadow.state["reported"]
    assert everything == {f"w{w}": {f"p{n}": n for n in range(PATCHES)} for w in range(WRITERS)}


async def test_of_twenty_writers_that_name_the_version_exactly_one_wins(
    processes: list[Process], key: ShadowKey
) -> None:
    await write(processes[0], key, ShadowPatch({"desired": {"a": 0}}))

    results = await asyncio.gather(
        *(
            write(processes[writer % len(processes)], key, ShadowPatch({"desired": {"a": writer}}, version=1))
            for writer in range(WRITERS)
        ),
        return_exceptions=True,
    )

    winners = [result for result in results if isinstance(result, ShadowChange)]
    assert len(winners) == 1
    assert sum(isinstance(result, ShadowVersionConflictError) for result in results) == WRITERS - 1
    shadow = await processes[0].service.get_shadow(key=key)
    assert (shadow.version, shadow.state["desired"]) == (2, winners[0].shadow.desired.state)
