"""Processes and databases that are stopped and killed under devices that send: every reading is accounted for."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.faults.telemetry_scene import TelemetryScene, telemetry_scene


@pytest_asyncio.fixture(scope="module")
async def scene() -> AsyncIterator[TelemetryScene]:
    async with telemetry_scene(seed=1) as scene:
        yield scene


async def test_a_process_that_is_stopped_under_load_has_written_what_it_took(scene: TelemetryScene) -> None:
    await scene.recorder.record_through(scene.stop_process)

    await scene.recorder.check()


async def test_a_process_that_is_killed_under_load_costs_nothing_that_was_acknowledged(scene: TelemetryScene) -> None:
    await scene.recorder.record_through(scene.kill_process)

    await scene.recorder.check()


async def test_a_database_that_is_killed_under_load_costs_nothing_that_was_acknowledged(
    scene: TelemetryScene,
) -> None:
    await scene.recorder.record_through(scene.kill_database)

    await scene.recorder.check()
