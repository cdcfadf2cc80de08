"""Processes and databases that are stopped and killed under devices that send: every reading is accounted for."""

from collections.abc import AsyncIterator
from functools import partial

import asyncpg
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


async def test_a_process_that_is_killed_while_classes_come_and_go_costs_nothing(scene: TelemetryScene) -> None:
    recorder = scene.recorder

    async def change_rules(*, is_given_up: bool) -> None:
        """Have others follow for devices that have none yet, and kill the process that serves."""
        if is_given_up:
            await scene.remove_class("modes")
        await scene.define_class("pressures", metrics="p*", raw_days=30)
        await scene.define_class("places", metrics="pos*", priority=1, raw_days=60)
        await recorder.add_devices()
        await scene.kill_process()

    await scene.define_class("modes", metrics="mode", raw_days=7)
    await recorder.add_devices()
    await recorder.record_through(
        partial(change_rules, is_given_up=False), partial(change_rules, is_given_up=True), scene.kill_database
    )

    await recorder.check()
    connection = await asyncpg.connect(scene.deployment.settings.telemetry_dsn)
    classes = await connection.fetch("SELECT DISTINCT source >> 24 AS number FROM readings ORDER BY number")
    await connection.close()
    assert [row["number"] for row in classes] == [0, 1, 2, 3]
