import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.localstack.stack import LocalStack
from iotsphere.telemetry.errors import QueryTooCostlyError
from iotsphere.telemetry.model import Counts, Reading, Selection
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from repositories.availability import StoreGate
from repositories.sql import create_store_engine
from repositories.telemetry.numbers import read_numbers
from repositories.telemetry.probe import NOT_COLUMNAR, SqlAlchemyTelemetryProbe
from repositories.telemetry.sources import find_source
from repositories.telemetry.unit_of_work import SqlAlchemyTelemetryUnitOfWork

DEADLINE_SECONDS = 5


async def test_the_probe_tells_the_engine(engine: AsyncEngine, gate: StoreGate, stack: LocalStack) -> None:
    async with engine.connect() as connection:
        licence = await connection.scalar(sa.text("SELECT current_setting('timescaledb.license', true)"))
    engines = {
        f"timescaledb {stack.engines['timescaledb']} ({licence})",
        f"postgresql {stack.engines['postgresql']} (partitions)",
    }
    async with engine.connect() as connection:
        is_hypertable = await connection.scalar(
            sa.text("SELECT count(*) FROM pg_extension WHERE extname ~ 'timescale'")
        )

    probe = SqlAlchemyTelemetryProbe(engine, gate)
    told = await probe.probe()

    assert told in engines
    assert told.startswith("timescaledb") == bool(is_hypertable)
    can_compress = bool(is_hypertable) and licence == "timescale"
    assert await probe.find_remark() == (None if can_compress else NOT_COLUMNAR)


async def test_the_command_line_tells_what_room_readings_take(
    dsn: str, unit_of_work: TelemetryUnitOfWorkFactory
) -> None:
    device_id = DeviceId(uuid4())
    readings = [
        Reading(device_id, datetime(2026, 3, 1, 0, minute, tzinfo=UTC), {"a": minute, "b": "x"})
        for minute in range(60)
    ]
    async with unit_of_work() as uow:
        await uow.points.append(readings, replace=False)
        await uow.commit()

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "iotsphere", "telemetry", "size", "--json",
        env={**os.environ, "IOTSPHERE_TELEMETRY_DSN": dsn}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        output, _ = await process.communicate()

    assert process.returncode == 0
    told = msgspec.json.decode(output)
    (kept,) = [share for share in told["tables"] if share["table"] == "readings"]
    assert kept["points"] >= 120
    assert kept["readings"] >= 60
    assert kept["bytes_per_point"] == round(kept["bytes"] / kept["points"], 2)
    assert told["points"] == kept["points"]


async def test_the_probe_sees_the_store_come_back_and_opens_the_gate(
    engine: AsyncEngine, gate: StoreGate, unit_of_work: TelemetryUnitOfWorkFactory
) -> None:
    gate.failed()
    with pytest.raises(UnavailableError):
        async with unit_of_work():
            pass

    await SqlAlchemyTelemetryProbe(engine, gate).probe()

    async with unit_of_work() as uow:
        assert await uow.points.latest(DeviceId(uuid4()), None) == []


@pytest.mark.parametrize(
    ("settings", "refusal"),
    [
        # Where it may wait for as long as it likes, it waits until it has taken too long.
        ({"lock_timeout": "0", "statement_timeout": "200ms"}, QueryTooCostlyError),
        ({"lock_timeout": "200ms"}, UnavailableError),
    ],
    ids=["it takes long", "it waits for others"],
)
async def test_a_read_that_comes_to_no_end_is_refused_and_closes_the_store_to_nobody(
    dsn: str,
    engine: AsyncEngine,
    gate: StoreGate,
    unit_of_work: TelemetryUnitOfWorkFactory,
    settings: dict[str, str],
    refusal: type[Exception],
) -> None:
    hasty = create_store_engine(dsn, settings=settings)
    async with engine.connect() as blocker:
        await blocker.execute(sa.text("LOCK TABLE sources IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(refusal):
            async with SqlAlchemyTelemetryUnitOfWork(hasty, gate) as uow:
                await uow.points.latest(DeviceId(uuid4()), None)
    await hasty.dispose()

    async with unit_of_work() as uow:
        assert await uow.points.latest(DeviceId(uuid4()), None) == []


async def test_numbers_that_take_long_altogether_are_refused(
    engine: AsyncEngine, unit_of_work: TelemetryUnitOfWorkFactory
) -> None:
    """Each metric is read by itself, and none of them may take long."""
    device_id = DeviceId(uuid4())
    ts = datetime(2026, 11, 20, tzinfo=UTC)
    async with unit_of_work() as uow:
        await uow.points.append([Reading(device_id, ts, {"a": 1, "b": 2})], replace=False)
        await uow.commit()
    selection = Selection(device_id, None, ts, ts + timedelta(days=1))

    async with engine.connect() as connection:
        source = await find_source(connection, device_id)
        assert source is not None
        assert (await read_numbers(connection, source, selection, limit=10)).keys() == {"a", "b"}
        with pytest.raises(QueryTooCostlyError):
            await read_numbers(connection, source, selection, limit=10, seconds=0)


async def test_who_writes_a_device_waits_for_whoever_writes_it(
    engine: AsyncEngine, unit_of_work: TelemetryUnitOfWorkFactory
) -> None:
    device_id = DeviceId(uuid4())
    ts = datetime(2026, 11, 20, tzinfo=UTC)
    async with engine.connect() as observer, unit_of_work() as rival, unit_of_work() as uow:
        await rival.points.append([Reading(device_id, ts, {"a": 1})], replace=False)
        ours = asyncio.create_task(uow.points.append([Reading(device_id, ts, {"b": 2, "a": 3})], replace=False))
        await until_somebody_waits(observer)
        await rival.commit()

        assert await ours == {0: Counts(stored=1, conflicts=1)}


async def until_somebody_waits(observer: AsyncConnection) -> None:
    waiting = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await observer.scalar(waiting):
            pass
