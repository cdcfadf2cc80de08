"""Files of points: what is read of them, and that what is written comes back as it was."""

import json
from collections.abc import Mapping
from dataclasses import astuple
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from iotsphere.api.telemetry.body import MAX_BODY_BYTES
from iotsphere.api.telemetry.formats import POINTS, ArrowWriter, figures_table
from iotsphere.cli.point_pages import PointPage, read_page
from iotsphere.cli.point_writers import CsvPointWriter, ParquetPointWriter
from iotsphere.cli.tables import TableError, TableFile, TableFormat, TableLayout, TableReading, format_of
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.decoding import MAX_TEXT_BYTES
from iotsphere.telemetry.model import Aggregate, Point

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
VALUES: Any = st.recursive(
    st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner | st.none(), max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def page_of_figures() -> bytes:
    writer = ArrowWriter(figures_table([Aggregate.AVG]))
    return writer.begin() + writer.end()


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "points.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(path: Path, *, skip: int = 0, **layout: Any) -> list[tuple[Any, ...]]:
    found = TableFile(path, format_of(path)).readings(TableLayout(**layout), skip=skip)
    return [astuple(row)[:4] for row in found]


def page_of(*points: Point, units: Mapping[str, str] = {}) -> PointPage:
    """Give what a client makes of the platform's own answer."""
    writer = ArrowWriter(POINTS.with_units(units))
    return read_page(writer.begin() + writer.write(points) + writer.end(), {})


@pytest.mark.parametrize(("writer", "table_format"), [(CsvPointWriter, "csv"), (ParquetPointWriter, "parquet")])
@given(value=VALUES, serial_number=st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1))
def test_every_value_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, writer: Any, table_format: str, value: Any, serial_number: str
) -> None:
    path = tmp_path_factory.mktemp("tables") / f"points.{table_format}"
    moment = NOON.replace(microsecond=1)
    points = writer(path)
    points.write(serial_number, page_of(Point(DeviceId(UUID(int=1)), "a", moment, value)))
    points.close()

    # Written out, for 0.0 equals -0.0, and true is 1.
    read_back = [*TableFile(path, TableFormat(table_format)).readings(TableLayout())]
    assert repr(read_back) == repr([TableReading(1, serial_number, moment, {"a": value}, 1)])


def test_parquet_tells_the_units_of_each_device(tmp_path: Path) -> None:
    path = tmp_path / "points.parquet"
    point = Point(DeviceId(UUID(int=1)), "flow", NOON, 1.5)
    points = ParquetPointWriter(path)
    points.write("SN-1", page_of(point, units={"flow": "l/min"}))
    points.write("SN-2", page_of(point, units={"flow": "m³/h"}))
    points.write("SN-3", page_of(point))
    points.close()

    told = json.loads(parquet.read_metadata(path).metadata[b"units"])
    assert told == {"SN-1": {"flow": "l/min"}, "SN-2": {"flow": "m³/h"}}


@pytest.mark.parametrize("content", [b"", b"<html>", b"{}", b"x" * 300, page_of_figures()])
def test_what_is_no_table_of_points_is_not_taken_for_one(content: bytes) -> None:
    with pytest.raises(ValueError, match="no table of points"):
        read_page(content, {})


def test_a_table_that_is_cut_off_is_not_taken_for_a_whole_one() -> None:
    writer = ArrowWriter(POINTS)
    points = [Point(DeviceId(UUID(int=1)), "a", NOON, float(number)) for number in range(1000)]

    with pytest.raises(ValueError, match="no table of points"):
        read_page((writer.begin() + writer.write(points))[:-500], {})


@pytest.mark.parametrize("name", ["p.xlsx", "p", "p.csv.gz", "csv", ".parquet", "p.json"])
def test_a_name_that_tells_no_format_is_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(TableError, match=r"ends neither in \.csv nor in \.parquet or \.pq\. Say with --format"):
        format_of(Path(name))


@pytest.mark.parametrize(("name", "known"), [("p.CSV", "csv"), ("a.b.parquet", "parquet"), ("p.pq", "parquet")])
def test_a_name_tells_the_format(name: str, known: str) -> None:
    assert format_of(Path(name)) == known


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
        ("", "no titles of columns"),
        ("\n\nts,a\n", "no titles of columns"),
        ("a,b\n1,2\n", "which column is the time"),
        ("ts;a;b\n1704110400;1,5;2\n", "not parted by commas: ts;a;b"),
        ("ts\ta\tb\n1704110400\t1,5\t2\n", "not parted by commas"),
        ("ts,a\n1704110400,1\n", "which column is the device"),
        ("serial_number,ts\nx,1704110400\n", "no column of values"),
        ("serial_number,ts,a,a\nx,1704110400,1,2\n", "several columns are called 'a'"),
        ("serial_number,ts,metric,value,value\nx,1704110400,a,1,2\n", "several columns are called 'value'"),
        ("serial_number,ts,A b,a_b\nx,1704110400,1,2\n", "several are of one metric"),
        ('serial_number,ts,a\nx,1704110400,1\nx,1704110400,"1\n', "behind row 1: unexpected end of data"),
        (b"serial_number,ts,a\nx,1704110400,\xff\n", "utf-8"),
        ("serial_number,ts,a\nx,1704110400,1\n".encode("utf-16"), "utf-8"),
    ],
)
def test_a_file_that_cannot_be_read_says_where_and_why(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(TableError, match=words):
        read(write(tmp_path, text))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("x,noon,a,1,", "'noon' is not a time in ISO 8601, nor seconds or milliseconds since 1970."),
        ("x,,a,1,", "'' is not a time in ISO 8601, nor seconds or milliseconds since 1970."),
        ("x,99999999999999999999,a,1,", "'99999999999999999999' is not a time in ISO 8601, nor seconds or milli"),
        ("x,1704110400,a", "3 columns where 5 are expected."),
        ("x,1704110400,a,1,,,", "7 columns where 5 are expected."),
        (",1704110400,a,1,", "names no device."),
        ("x,1704110400,,1,", "names no metric."),
        ("x,1704110400,a,,{no", "other is '{no', which is no JSON."),
        (f"x,1704110400,a,,{'[' * 100_000}", f"other is '{'[' * 40}', which is no JSON."),
    ],
)
def test_a_row_that_is_bad_says_why_and_costs_no_other(tmp_path: Path, row: str, words: str) -> None:
    good = "x,1704110400,a,1,"
    path = write(tmp_path, f"serial_number,ts,metric,value,other\n{good}\n{row}\n{good}\n")

    one, bad, other = read(path)

    assert (one, other) == ((1, "x", NOON, {"a": 1}), (3, "x", NOON, {"a": 1}))
    assert bad[0] == 2
    assert bad[1].startswith(words)


@pytest.mark.parametrize(
    "cell",
    ["1e999", "-1e999", "inf", "-Infinity", "9" * 400, "9" * 5_000, "[1e999]", '"{""a"":' + "9" * 5_000 + '}"'],
)
def test_a_number_beyond_the_largest_is_left_to_the_platform_to_reject(tmp_path: Path, cell: str) -> None:
    path = write(tmp_path, f"serial_number,ts,a,b\nx,1704110400,{cell},1\n")

    [reading] = TableFile(path, TableFormat.CSV).readings(TableLayout())

    assert isinstance(reading, TableReading)
    assert msgspec.json.encode(reading.values) == b'{"a":1e999,"b":1}'


@pytest.mark.parametrize("cell", ["[" * 100_000, "x" * 1_000_000, "9" * 1_000_000 + "x", "1e999 pieces"])
def test_a_large_cell_is_a_text_like_any_other(tmp_path: Path, cell: str) -> None:
    path = write(tmp_path, f"serial_number,ts,a,b\nx,1704110400,{cell},1\n")

    assert read(path) == [(1, "x", NOON, {"a": cell, "b": 1})]


@pytest.mark.parametrize("cell", ["x" * 10_000_000, "1" * 10_000_000, "[" * 10_000_000])
def test_of_a_cell_beyond_all_values_so_much_is_sent_as_is_still_too_long(tmp_path: Path, cell: str) -> None:
    path = write(tmp_path, f"serial_number,ts,a,b\nx,1704110400,{cell},1\n")

    [(_, _, _, values)] = read(path)

    assert values["b"] == 1
    assert MAX_TEXT_BYTES < len(values["a"]) < MAX_BODY_BYTES // 100


def test_parquet_of_other_kinds_is_read_as_what_it_means(tmp_path: Path) -> None:
    path = tmp_path / "long.parquet"
    columns = {
        "device": pa.array([b"SN-1"] * 4, pa.binary()),
        "ts": pa.array([NOON.date()] * 4, pa.date32()),
        "metric": pa.array(["a", "b", None, "d"]).dictionary_encode(),
        "value": pa.array([Decimal("1.10"), None, Decimal("2.00"), None], pa.decimal128(9, 2)),
        "other": pa.array([None, {"n": 1}, None, {"n": 2}], pa.struct({"n": pa.int8()})),
    }
    parquet.write_table(pa.table(columns), path)

    midnight = NOON.replace(hour=0)
    assert read(path) == [
        (1, "SN-1", midnight, {"a": 1.1}),
        (2, "SN-1", midnight, {"b": {"n": 1}}),
        (3, "names no metric."),
        (4, "SN-1", midnight, {"d": {"n": 2}}),
    ]


@pytest.mark.parametrize("name", ["none.csv", "none.parquet", "text.parquet"])
def test_what_is_no_file_or_no_parquet_is_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(TableError):
        read(tmp_path / name)
