from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotsphere.cli.census import PointCensus
from iotsphere.cli.errors import CommandError
from iotsphere.cli.upload import RecordedReading

START = datetime(2024, 1, 1, tzinfo=UTC)
points = st.tuples(st.sampled_from("ab"), st.integers(0, 5), st.sets(st.sampled_from("abm"), min_size=1))


def readings_of(recording: Iterable[tuple[str, int, set[str]]]) -> list[RecordedReading]:
    return [
        RecordedReading(device, "pump", START + timedelta(microseconds=tick), dict.fromkeys(metrics, 1.0))
        for device, tick, metrics in recording
    ]


@given(st.lists(points, min_size=1))
def test_distinct_points_are_counted_in_any_order_and_repetition(recording: list[tuple[str, int, set[str]]]) -> None:
    readings = readings_of(recording)
    expected = {(device, metric, tick) for device, tick, metrics in recording for metric in metrics}
    with closing(PointCensus()) as census:
        assert list(census.watch(readings)) == readings
        for device in {device for device, _, _ in recording}:
            counted = census.device(device)
            own = [(metric, tick) for name, metric, tick in expected if name == device]
            assert counted.points == {name: sum(name == metric for metric, _ in own) for name, _ in own}
            ticks = [tick for _, tick in own]
            assert counted.start == START + timedelta(microseconds=min(ticks))
            assert counted.end == START + timedelta(microseconds=max(ticks) + 1)


def test_a_full_disk_is_told_in_a_sentence() -> None:
    with closing(PointCensus()) as census:
        census._database.execute("PRAGMA max_page_count = 3")
        readings = readings_of([("a", tick, {"m"}) for tick in range(20_000)])
        with pytest.raises(CommandError, match=r"cannot be counted: database or disk is full\. Is there room"):
            list(census.watch(readings))
