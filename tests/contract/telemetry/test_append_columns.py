"""Readings in columns become what the same readings become one by one, whatever was there before."""

import re
from datetime import timedelta
from functools import partial
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.times import EPOCH, MICROSECOND
from iotsphere.telemetry.blocks import Block, Joined
from iotsphere.telemetry.model import EARLIEST, Counts, Reading
from iotsphere.telemetry.ports import TelemetryUnitOfWorkFactory
from tests.contract.telemetry.compression import CompressingTelemetryUnitOfWork
from tests.contract.telemetry.test_append import stored
from tests.factories.telemetry import FIRST_READING
from tests.fakes.telemetry import InMemoryTelemetryUnitOfWork, TelemetryData

HOUR = timedelta(hours=1)
START = (FIRST_READING - EPOCH) // MICROSECOND
# Some in an hour, in another hour, and in another year.
TIMES = st.sampled_from([START, START + 1, START + HOUR // MICROSECOND, START - 400 * 24 * HOUR // MICROSECOND])
# Beside each other and far apart: the device has had dozens of others between the first two and the last.
METRICS = st.permutations(["a", "b", "z"]).flatmap(lambda names: st.integers(1, 3).map(lambda n: tuple(names[:n])))
BETWEEN = {f"m{number}": 0.0 for number in range(60)}
NUMBERS = st.sampled_from([0.0, -0.0, 1.0, 0.1, 1e300, 5e-324])
PARTS = st.lists(
    st.tuples(
        st.integers(0, 1),
        METRICS,
        st.lists(st.tuples(TIMES, st.tuples(NUMBERS, NUMBERS, NUMBERS)), min_size=1, max_size=4),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)
Part = tuple[int, tuple[str, ...], list[tuple[int, tuple[float, float, float]]], bool]


def to_readings(parts: list[Part], devices: list[DeviceId]) -> Joined:
    """Give them as columns, and some one by one."""
    blocks = [
        Block(devices[device], metrics, [time for time, _ in rows], [row[: len(metrics)] for _, row in rows])
        for device, metrics, rows, _ in parts
    ]
    return Joined([block if part[3] else [*block] for part, block in zip(parts, blocks, strict=True)])


MINUS_ZERO = re.compile(r"-0\.0(?![0-9e])")


async def append(
    unit_of_work: TelemetryUnitOfWorkFactory, readings: Joined | list[Reading], *, replace: bool
) -> list[Counts]:
    """Give what became of each."""
    async with unit_of_work() as uow:
        unsettled = await uow.points.append(readings, replace=replace)
        await uow.commit()
    return [unsettled.get(place, Counts(len(reading.values))) for place, reading in enumerate(readings)]


@given(requests=st.lists(st.tuples(PARTS, st.booleans()), min_size=1, max_size=3))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_columns_become_what_their_readings_become(
    unit_of_work: TelemetryUnitOfWorkFactory, requests: list[tuple[list[Part], bool]]
) -> None:
    model = partial(InMemoryTelemetryUnitOfWork, TelemetryData())
    devices = [DeviceId(uuid4()), DeviceId(uuid4())]
    for store in (model, unit_of_work):
        await append(store, [Reading(devices[0], EARLIEST, {"b": 0.0, "a": 0.0, **BETWEEN, "z": 0.0})], replace=False)

    for parts, replace in requests:
        readings = to_readings(parts, devices)
        expected = await append(model, [*readings], replace=replace)
        assert await append(unit_of_work, readings, replace=replace) == expected

    # Where rows are kept by column, those that are equal are kept once, and -0.0 equals 0.0.
    is_compressed = getattr(unit_of_work, "func", None) is CompressingTelemetryUnitOfWork
    for device_id in devices:
        held, wanted = repr(await stored(unit_of_work, device_id)), repr(await stored(model, device_id))
        assert held == wanted or (is_compressed and MINUS_ZERO.sub("0.0", held) == MINUS_ZERO.sub("0.0", wanted))
