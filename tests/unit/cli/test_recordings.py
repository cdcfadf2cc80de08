"""Files as they come, the broken ones first."""

import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from iotsphere.cli.recordings import (
    BadLineError,
    Layout,
    RecordingError,
    RecordingFormat,
    find_files,
    read_files,
)
from iotsphere.cli.upload import RecordedReading

START = datetime(2024, 1, 1, tzinfo=UTC)
CSV = Layout(RecordingFormat.CSV, "boiler", "", START)
SKAB = Layout(RecordingFormat.SKAB, "pump", "skab-", START)
NAB = Layout(RecordingFormat.NAB, "sensor", "nab-", START)
CMAPSS = Layout(RecordingFormat.CMAPSS, "turbofan", "cmapss-", START)
ENGINE = "1 1 " + " ".join(str(n) for n in range(24))


def write(folder: Path, content: str | bytes, name: str = "file.csv") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refuse(error: BadLineError) -> None:
    raise error


def read(path: Path, layout: Layout) -> list[RecordedReading]:
    """Read, and let the first broken line end it."""
    return list(read_files(find_files(path, layout), layout, refuse))


def read_with_skips(path: Path, layout: Layout) -> tuple[list[RecordedReading], list[str]]:
    skipped: list[str] = []
    readings = list(read_files(find_files(path, layout), layout, lambda error: skipped.append(str(error))))
    return readings, skipped


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2024-01-01T00:00:00,1", "2 columns where 3 are expected"),
        ("2024-01-01T00:00:00,1,2,3", "4 columns where 3 are expected"),
        ("yesterday,1,2", "'yesterday' is not a time"),
        (",1,2", "'' is not a time"),
        ("0001-01-01T00:00:00+10:00,1,2", "is not a time"),
        ("99999999999999999999999,1,2", "is not a time"),
        ("2024-01-01T00:00:00,warm,2", "a is 'warm', not a number; --ignore-column"),
        ("2024-01-01T00:00:00,1_000,2", "a is '1_000', not a number"),
        ("2024-01-01T00:00:00,inf,2", "a is 'inf', not a number"),
        ("2024-01-01T00:00:00,1e999,2", "a is '1e999', not a number"),
        ("2024-01-01T00:00:00," + "9" * 5000 + ",2", "not a number"),
        ('2024-01-01T00:00:00,"1"x,2', "expected after"),
        ("2024-01-01T00:00:00," + "1" * 200_000 + ",2", "field larger than field limit"),
    ],
)
def test_a_broken_line_is_named_and_can_be_skipped(tmp_path: Path, line: str, reason: str) -> None:
    good = "2024-01-01T00:00:00,1,2"
    path = write(tmp_path, f"time,a,b\n{good}\n{line}\n{good}\n")
    with pytest.raises(BadLineError, match=reason) as refusal:
        read(path, CSV)
    assert f"{path}, line 3: " in str(refusal.value)
    readings, skipped = read_with_skips(path, CSV)
    assert len(readings) == 2
    assert skipped == [str(refusal.value)]


@pytest.mark.parametrize("broken", [b"\xff\xfe\n", b"x" * (1024 * 1024) + b"\n"])
def test_bytes_that_are_no_line_of_text_are_one_broken_line(tmp_path: Path, broken: bytes) -> None:
    path = write(tmp_path, b"time,a\n2024-01-01,1\n" + broken + b"2024-01-02,2\n")
    readings, skipped = read_with_skips(path, CSV)
    assert [reading.values for reading in readings] == [{"a": 1}, {"a": 2}]
    assert f"{path}, line 3: " in skipped[0]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (ENGINE + " 1", "27 columns where 26 are expected"),
        ("x" + ENGINE, "the unit 'x1' is not a whole number"),
        (ENGINE.replace("1 1", "1 0", 1), "the cycle '0' is not a whole number"),
        (ENGINE.replace("1 1", "1 ¹", 1), "the cycle '¹' is not a whole number"),
        (ENGINE.replace("1 1", "1 " + "9" * 5000, 1), "is not a whole number"),
        (ENGINE + "x", "sensor_21 is '23x', not a number"),
    ],
)
def test_a_broken_engine_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    path = write(tmp_path, f"{ENGINE}\n{line}\n", "train.txt")
    with pytest.raises(BadLineError, match=reason) as refusal:
        read(path, CMAPSS)
    assert "train.txt, line 2: " in str(refusal.value)


@pytest.mark.parametrize(
    ("header", "changes", "reason"),
    [
        ("", {}, "there is no header"),
        ("a,b", {}, "which column is the time"),
        ("time,date,b", {}, "which column is the time"),
        ("time", {}, "0 columns of values"),
        ("time,b,B", {}, "would both be the metric 'b'"),
        ("time,°", {}, "does not make a metric name"),
        ("time,b", {"time_column": "when"}, "there is no column 'when' among time, b"),
        ("time,b", {"device_column": "pump"}, "there is no column 'pump'"),
        ("time,b", {"ignored_columns": frozenset({"c"})}, "there is no column 'c'"),
        ("time," + ",".join(f"m{n}" for n in range(10_001)), {}, "10001 columns of values"),
    ],
)
def test_a_header_that_is_not_clear_is_never_skipped(
    tmp_path: Path, header: str, changes: dict[str, Any], reason: str
) -> None:
    path = write(tmp_path, f"{header}\n2024-01-01,1\n")
    with pytest.raises(BadLineError, match=reason):
        read_with_skips(path, replace(CSV, **changes))


def test_a_path_without_the_right_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="There is no file or folder"):
        find_files(tmp_path / "absent", CSV)
    write(tmp_path, "1", "RUL_FD001.txt")
    with pytest.raises(RecordingError, match=r"no files train_\*.txt or test_\*.txt"):
        find_files(tmp_path, CMAPSS)


def test_two_files_that_would_be_one_device_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write(tmp_path, "time,x\n2024-01-01,1\n", f"{folder}/valve1/0.csv")
    with pytest.raises(RecordingError, match="would both be the device 'skab-valve1-0'"):
        find_files(tmp_path, SKAB)


def test_skab_leaves_its_labels_out_unless_asked(tmp_path: Path) -> None:
    text = "datetime;Volume Flow RateRMS;anomaly;changepoint\r\n2020-03-09 10:14:33;32.0;0.0;1.0\r\n"
    path = write(tmp_path, text, "valve1/0.csv")
    at = datetime(2020, 3, 9, 10, 14, 33, tzinfo=UTC)
    assert read(path, SKAB) == [RecordedReading("skab-valve1-0", "pump", at, {"volume_flow_rate_rms": 32.0})]
    [labelled] = read(path, replace(SKAB, with_labels=True))
    assert labelled.values == {"volume_flow_rate_rms": 32.0, "anomaly": 0.0, "changepoint": 1.0}


def test_a_cycle_is_an_hour_and_a_unit_is_a_device(tmp_path: Path) -> None:
    write(tmp_path, f"{ENGINE}  \n\n{ENGINE.replace('1 1', '12 25', 1)}\n", "deep/train_FD001.txt")
    first, last = read(tmp_path, CMAPSS)
    assert (first.serial_number, first.at) == ("cmapss-train_FD001-unit-001", START)
    assert (last.serial_number, last.at) == ("cmapss-train_FD001-unit-012", datetime(2024, 1, 2, tzinfo=UTC))
    assert len(last.values) == 24
    assert (last.values["setting_1"], last.values["sensor_21"]) == (0, 23)


def test_nab_files_are_named_with_their_folder(tmp_path: Path) -> None:
    write(tmp_path, "timestamp,value\n2014-04-01 00:00:00,-7.5\n", "real Traffic/speed_6005.csv")
    write(tmp_path, "{}", "labels/combined_windows.json")
    [reading] = read(tmp_path, NAB)
    assert (reading.serial_number, reading.values) == ("nab-real-Traffic-speed_6005", {"value": -7.5})


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-05-06 07:08:09", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        ("2024-05-06T09:08:09.123456+02:00", datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)),
        ("2024-05-06", datetime(2024, 5, 6, tzinfo=UTC)),
        ("1714979289", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        ("1714979289.5", datetime(2024, 5, 6, 7, 8, 9, 500000, tzinfo=UTC)),
        ("1714979289123", datetime(2024, 5, 6, 7, 8, 9, 123000, tzinfo=UTC)),
    ],
)
def test_times_are_read_in_the_ways_that_recordings_write_them(tmp_path: Path, text: str, moment: datetime) -> None:
    [reading] = read(write(tmp_path, f"Time;a\n{text};1\n"), CSV)
    assert reading.at == moment


def test_numbers_stay_as_written_and_missing_cells_are_no_values(tmp_path: Path) -> None:
    rows = "2024-01-01,9007199254740993,.5,-3e2,NaN\n2024-01-02,,NA, 7 ,null\n2024-01-03,,,,\n"
    first, second = read(write(tmp_path, "\ufefftime,a,b,c,d\n" + rows), CSV)
    assert first.values == {"a": 9007199254740993, "b": 0.5, "c": -300.0}
    assert second.values == {"c": 7}


def test_columns_can_name_the_device_and_the_time_and_be_left_out(tmp_path: Path) -> None:
    layout = replace(
        CSV, time_column="when", device_column="pump", ignored_columns=frozenset({"remark"}), serial_prefix="hall-"
    )
    text = 'when\tpump\ttime\tremark\n2024-01-01\tP 1\t5\t"says\ta lot"\n2024-01-01\tP2\t6\t\n'
    readings = read(write(tmp_path, text, "x.tsv"), layout)
    assert [(reading.serial_number, reading.values) for reading in readings] == [
        ("hall-P-1", {"time": 5}),
        ("hall-P2", {"time": 6}),
    ]
    with pytest.raises(BadLineError, match="names no device"):
        read(write(tmp_path, "when\tpump\ttime\tremark\n2024-01-01\t \t5\t\n"), layout)


def test_files_are_read_in_turns_and_every_one_to_its_end(tmp_path: Path) -> None:
    for number in range(7):
        write(tmp_path, "time,a\n" + "2024-01-01,1\n" * number, f"{number}.csv")
    devices = [reading.serial_number for reading in read(tmp_path, CSV)]
    assert sorted(devices) == sorted(str(number) for number in range(7) for _ in range(number))
    assert devices[:4] == ["1", "2", "3", "4"]


def test_the_bytes_read_tell_how_far_it_is(tmp_path: Path) -> None:
    path = write(tmp_path, "time,a\n" + "2024-01-01,1\n" * 10)
    files = find_files(path, CSV)
    readings = read_files(files, CSV, refuse)
    next(readings)
    assert 0 < files[0].bytes_read < path.stat().st_size
    list(readings)
    assert files[0].bytes_read == path.stat().st_size


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(lines: int) -> int:
        path = write(tmp_path, "time,a,b\n" + "2024-01-01T00:00:00,1.5,2.5\n" * lines)
        tracemalloc.start()
        for _ in read_files(find_files(path, CSV), CSV, refuse):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(10)
    assert peak(20_000) < 2 * peak(1_000)
