"""Files of points: what is read of them, and that what is written comes back as it was."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from iotsphere.cli.point_writers import CsvPointWriter, ParquetPointWriter
from iotsphere.cli.tables import TableError, TableFile, TableLayout, TableReading

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
VALUES: Any = st.recursive(
    st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner | st.none(), max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "points.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(path: Path, *, skip: int = 0, **layout: Any) -> list[tuple[Any, ...]]:
    readings = TableFile(path).readings(TableLayout(**layout), skip=skip)
    return [(reading.row, reading.device, reading.ts, reading.values) for reading in readings]


@pytest.mark.parametrize("writer", [CsvPointWriter, ParquetPointWriter])
@given(value=VALUES, serial_number=st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1))
def test_every_value_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, writer: Any, value: Any, serial_number: str
) -> None:
    path = tmp_path_factory.mktemp("tables") / ("p.csv" if writer is CsvPointWriter else "p.parquet")
    points = writer(path)
    points.write(serial_number, [("2024-01-01T12:00:00.000001Z", "a", value)])
    points.close()

    moment = NOON.replace(microsecond=1)
    assert list(TableFile(path).readings(TableLayout())) == [TableReading(1, serial_number, moment, {"a": value})]


def test_a_wide_file_has_a_column_for_each_metric(tmp_path: Path) -> None:
    path = write(
        tmp_path, '\ufefftime,Temp,b c,mode\r\n2024-01-01T12:00:00Z,21.5,-3,heat\r\n1704110400,,1e3,"{""x"":1}"\r\n'
    )

    assert read(path, device="SN-1") == [
        (1, "SN-1", NOON, {"Temp": 21.5, "b_c": -3, "mode": "heat"}),
        (2, "SN-1", NOON, {"b_c": 1000.0, "mode": {"x": 1}}),
    ]


def test_a_table_of_the_platforms_own_is_read_for_a_device_that_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, 'ts,metric,value,other\n1704110400,a,1.5,\n1704110400,b,,"""1.5"""\n1704110400,c,,\n')

    assert read(path, device="SN-1") == [(1, "SN-1", NOON, {"a": 1.5}), (2, "SN-1", NOON, {"b": "1.5"})]


def test_what_is_skipped_is_not_looked_at(tmp_path: Path) -> None:
    path = write(tmp_path, "serial_number,ts,metric,value\nSN-1,bad,a,1\nSN-1,2024-01-01T12:00:00Z,a,true\n\n")

    assert read(path, skip=1) == [(2, "SN-1", NOON, {"a": True})]


def test_a_wide_file_of_parquet_keeps_the_kinds_of_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "wide.parquet"
    columns = {
        "ts": pa.array([NOON.replace(tzinfo=None)] * 2, pa.timestamp("ns")),
        "device_id": ["d", "e"],
        "a": pa.array([1.5, float("nan")]),
        "b": pa.array([True, None]),
        "c": pa.array([["x"], None], pa.list_(pa.string())),
    }
    parquet.write_table(pa.table(columns), path)

    assert read(path) == [(1, "d", NOON, {"a": 1.5, "b": True, "c": ["x"]})]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "which column is the time"),
        ("a,b\n1,2\n", "which column is the time"),
        ("ts,a\n1704110400,1\n", "which column is the device"),
        ("serial_number,ts\nx,1704110400\n", "no column of values"),
        ("serial_number,ts,a,a\nx,1704110400,1,2\n", "two are of one metric"),
        ("serial_number,ts,a\nx,1704110400,1\nx,noon,1\n", "row 2: 'noon' is not a time"),
        ("serial_number,ts,a\nx,1704110400\n", "row 1: 2 columns where 3"),
        ("serial_number,ts,a\n,1704110400,1\n", "row 1: names no device"),
        ('serial_number,ts,a\nx,1704110400,"1\n', "unexpected end of data"),
        (b"serial_number,ts,a\nx,1704110400,\xff\n", "utf-8"),
    ],
)
def test_a_file_that_cannot_be_read_says_where_and_why(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(TableError, match=words):
        read(write(tmp_path, text))


@pytest.mark.parametrize("name", ["none.csv", "none.parquet", "text.parquet"])
def test_what_is_no_file_or_no_parquet_is_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(TableError):
        read(tmp_path / name)
