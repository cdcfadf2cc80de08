"""Devices as lines: whatever comes in, every line is answered for once, and what is written is read again."""

import io
import json
from csv import reader
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotsphere.api.lines import MAX_COLUMNS, Entry, short
from iotsphere.api.registry.lines import DEVICE_LINES
from iotsphere.api.spool import MAX_LINE_BYTES
from iotsphere.kernel.errors import DomainError, MalformedInputError, RuleViolationError
from iotsphere.registry.model import Device, DeviceDraft, DeviceStatus
from tests.factories.registry import build_device

GOOD = b'{"serial_number":"SN-1","device_type":"pump"}'
HEADER = b"serial_number,device_type,name,labels,label.site,status\n"
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
STARTS = st.sampled_from(["=", "+", "-", "@", "\t", "\r", "\n", "'", "''", "＝", "", " ", '"', ","])  # noqa: RUF001
NAMES = st.builds(str.__add__, STARTS, TEXT)
SERIAL_NUMBERS = st.builds(
    str.__add__, st.sampled_from(["=", "-", "'", "'=", '"', ",", "ä"]), st.from_regex(r"[!-~]{1,9}", fullmatch=True)
)
DEVICES = st.builds(
    build_device,
    serial_number=SERIAL_NUMBERS,
    name=NAMES,
    labels=st.dictionaries(NAMES, st.just("") | NAMES, max_size=3),
    status=st.sampled_from([DeviceStatus.PROVISIONED, DeviceStatus.ACTIVE, DeviceStatus.SUSPENDED]),
)


def file(data: bytes) -> list[bytes]:
    return io.BytesIO(data).readlines()


def ndjson(data: bytes) -> list[Entry[DeviceDraft]]:
    return list(DEVICE_LINES.read_ndjson(file(data)))


def csv(data: bytes) -> list[Entry[DeviceDraft]]:
    return list(DEVICE_LINES.read_csv(file(data)))


def codes(entries: list[Entry[DeviceDraft]]) -> list[tuple[int, str | None]]:
    return [(entry.number, getattr(entry.draft, "code", None)) for entry in entries]


def drafted(device: Device) -> DeviceDraft:
    return DeviceDraft(device.serial_number, device.device_type, device.name, device.labels, status=device.status)


@given(devices=st.lists(DEVICES, max_size=5))
def test_what_is_exported_is_imported_as_it_was(devices: list[Device]) -> None:
    expected = [drafted(device) for device in devices]

    assert [entry.draft for entry in ndjson(DEVICE_LINES.write_ndjson(devices))] == expected
    assert [entry.draft for entry in csv(DEVICE_LINES.csv_header + DEVICE_LINES.write_csv(devices))] == expected


@given(device=DEVICES)
def test_no_cell_of_an_export_is_a_formula(device: Device) -> None:
    [cells] = reader(io.StringIO(DEVICE_LINES.write_csv([device]).decode(), newline=""))

    assert len(cells) == DEVICE_LINES.csv_header.count(b",") + 1
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in cells)


@given(data=st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_every_line_of_json_that_is_not_blank_is_answered_for_once(data: bytes) -> None:
    lines = file(data.removeprefix(b"\xef\xbb\xbf"))

    assert [entry.number for entry in ndjson(data)] == [
        number for number, line in enumerate(lines, 1) if line.strip()
    ]


@given(
    data=st.binary(max_size=300)
    | st.text(st.sampled_from(["a", ",", '"', "\n", "\r", "\0", "'", "{", "}", ":", "ä"]), max_size=100).map(
        str.encode
    )
)
def test_csv_of_any_bytes_is_read_to_its_end(data: bytes) -> None:
    entries = csv(HEADER + data)

    numbers = [entry.number for entry in entries]
    assert numbers == sorted(set(numbers))
    assert all(2 <= number <= len(file(HEADER + data)) for number in numbers)
    assert sum(entry.size for entry in entries) <= len(data)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{", "request.json.malformed"),
        (b"\xff", "request.json.malformed"),
        (b"{} {}", "request.json.malformed"),
        (b'{"serial_number":NaN}', "request.json.malformed"),
        (b"[" * 100_000, "request.json.malformed"),
        (b"[]", "request.payload.invalid"),
        (b'"SN"', "request.payload.invalid"),
        (b"{}", "request.payload.invalid"),
        (b'{"serial_number":"a\\u0000","device_type":"pump"}', "request.payload.invalid"),
        (b'{"serial_number":"a","device_type":"No Type"}', "request.payload.invalid"),
        (b'{"serial_number":"a","device_type":"pump","status":"retired"}', "request.payload.invalid"),
        (b'{"serial_number":"a","device_type":"pump","status":[]}', "request.payload.invalid"),
        (b'{"serial_number":"a","device_type":"pump","colour":"red"}', "request.payload.invalid"),
        (b'"' + b"x" * MAX_LINE_BYTES + b'"', "request.line.too_long"),
    ],
)
def test_a_bad_line_is_refused_by_itself(line: bytes, code: str) -> None:
    assert codes(ndjson(GOOD + b"\n" + line + b"\n \n" + GOOD)) == [(1, None), (2, code), (4, None)]


def test_a_mark_of_the_byte_order_and_a_missing_last_line_end_do_no_harm() -> None:
    assert codes(ndjson(b"\xef\xbb\xbf" + GOOD + b"\r\n\r\n" + GOOD)) == [(1, None), (3, None)]
    assert codes(csv(b"\xef\xbb\xbfserial_number,device_type\r\n\r\nSN-1,pump")) == [(3, None)]


def test_what_an_export_says_beyond_a_registration_is_passed_over() -> None:
    exported = json.loads(GOOD) | {
        "id": "x",
        "connectivity": 1,
        "last_seen_at": None,
        "version": "?",
        "created_at": [],
    }

    assert ndjson(json.dumps(exported | {"updated_at": 1}).encode())[0].draft == DeviceDraft("SN-1", "pump")


@pytest.mark.parametrize(
    ("row", "draft"),
    [
        (b"SN-1,pump,,,,", DeviceDraft("SN-1", "pump")),
        (
            b'SN-1,pump,"A ""b"", c\nd",,,active',
            DeviceDraft("SN-1", "pump", 'A "b", c\nd', status=DeviceStatus.ACTIVE),
        ),
        (
            b'SN-1,pump,,"{""a"":""b"",""site"":""x""}",y,',
            DeviceDraft("SN-1", "pump", labels={"a": "b", "site": "y"}),
        ),
        (b"SN-1,pump,,,north,", DeviceDraft("SN-1", "pump", labels={"site": "north"})),
        (b"'=SN,pump,'twas,,'-,", DeviceDraft("=SN", "pump", "'twas", labels={"site": "-"})),
        (b"''=SN,pump,=1+1,,,", DeviceDraft("'=SN", "pump", "=1+1")),
    ],
)
def test_a_row_says_what_its_cells_say(row: bytes, draft: DeviceDraft) -> None:
    assert [entry.draft for entry in csv(HEADER + row)] == [draft]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (b"SN-1,pump", "request.line.malformed"),
        (b"SN-1,pump,,,,,", "request.line.malformed"),
        (b'"SN"-1,pump,,,,', "request.line.malformed"),
        (b"SN-\xff,pump,,,,", "request.line.malformed"),
        (b"SN-1,pump,a\rb,,,", "request.line.malformed"),
        (b"SN-1,pump," + b"x" * 140_000 + b",,,", "request.line.malformed"),
        (b"SN-1,pump,a\0,,,", "request.payload.invalid"),
        (b"SN-1,pump,,{,,", "request.payload.invalid"),
        (b"SN-1,pump,,[],north,", "request.payload.invalid"),
        (b'SN-1,pump,,"{""a"":1}",,', "request.payload.invalid"),
        (b",pump,,,,", "request.payload.invalid"),
        (b"SN-1,pump,,,,retired", "request.payload.invalid"),
        (b"x" * (MAX_LINE_BYTES + 1), "request.line.too_long"),
    ],
)
def test_a_bad_row_is_refused_by_itself(row: bytes, code: str) -> None:
    assert codes(csv(HEADER + row + b"\n\nSN-2,pump,,,,\n")) == [(2, code), (4, None)]


def test_a_quote_that_is_never_closed_takes_what_is_behind_it_along() -> None:
    assert codes(csv(HEADER + b'SN-1,pump,"open,,,\nSN-2,pump,,,,\n')) == [(2, "request.line.malformed")]


def test_a_record_of_many_lines_is_no_longer_than_one_line_may_be() -> None:
    half = b"x," * (MAX_LINE_BYTES // 4)
    record = half + b'"\n",' + half + b"\n"

    assert codes(csv(HEADER + record + b"SN-1,pump,,,,\n")) == [(2, "request.line.too_long"), (4, None)]


def test_more_columns_than_anybody_needs_refuse_the_file_before_each_is_looked_at() -> None:
    header = b"serial_number,device_type," + b",".join(b"label.%d" % number for number in range(MAX_COLUMNS))

    with pytest.raises(RuleViolationError) as refused:
        csv(header + b"\n")

    assert list(refused.value.errors) == ["columns"]


@pytest.mark.parametrize(
    ("header", "path"),
    [
        (b"", "serial_number"),
        (b"serial_number", "device_type"),
        (b"serial_number,device_type,colour", "colour"),
        (b"serial_number,device_type,name,name", "name"),
        (b"serial_number;device_type", "serial_number;device_type"),
    ],
)
def test_columns_that_are_not_known_refuse_the_file(header: bytes, path: str) -> None:
    with pytest.raises(RuleViolationError) as refusal:
        csv(header + b"\nSN-1,pump\n")

    assert path in refusal.value.errors


@pytest.mark.parametrize("header", [b"\xff", b'"a"b', b"a\rb,c"])
def test_a_first_line_that_cannot_be_read_refuses_the_file(header: bytes) -> None:
    with pytest.raises(MalformedInputError):
        csv(header + b"\nSN-1,pump\n")


@pytest.mark.parametrize(
    "members", [{f"member {number}": 1 for number in range(1_000)}, {"x" * 100_000: 1}, {"asset": {"y" * 100_000: 1}}]
)
def test_an_answer_does_not_grow_with_the_mistakes_of_its_line(members: dict[str, Any]) -> None:
    [entry] = ndjson(json.dumps(members).encode())

    assert isinstance(entry.draft, RuleViolationError)
    assert len(json.dumps(short(entry.draft.errors))) < 4_000
    assert isinstance(entry.draft, DomainError)
    assert len(entry.draft.detail) < 1_000
