"""Readings of many devices in one request."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
import zstandard

from iotsphere.api.operation import TRUSTED_SECONDS
from iotsphere.api.spool import MAX_SPOOLS
from iotsphere.api.telemetry import lines, stream
from iotsphere.identity.secrets import ApiKey, hash_secret
from iotsphere.kernel.actor import Role
from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.registry.model import DeviceStatus
from iotsphere.telemetry.model import Counts
from tests.api.bench import Answer, ApiBench, Credentials
from tests.api.bench import bench as bench  # noqa: PLC0414  # pytest finds fixtures by the names in here
from tests.api.bench import wired as wired  # noqa: PLC0414
from tests.api.edge.test_connections import port as port  # noqa: PLC0414
from tests.api.registry.test_bulk_connections import ask
from tests.factories.identity import build_integration_key
from tests.fakes.telemetry import InMemoryTelemetryUnitOfWork, TelemetryData

NDJSON = {"Content-Type": "application/x-ndjson"}
MEBIBYTE = 1024 * 1024
COUNTERS = ("received", "stored", "duplicates", "conflicts", "rejected")


class DyingUnitOfWork(InMemoryTelemetryUnitOfWork):
    """A store that dies when there are so many points in it."""

    most = 1

    async def commit(self) -> None:
        if len(self._draft.points) > self.most:
            raise UnavailableError("telemetry", "The disk is gone.")
        await super().commit()


@pytest.fixture
def data(bench: ApiBench) -> TelemetryData:
    data = TelemetryData()
    keep(bench, partial(InMemoryTelemetryUnitOfWork, data))
    return data


def keep(bench: ApiBench, unit_of_work: Any) -> None:
    bench.keep_telemetry(unit_of_work)


def gateway(bench: ApiBench) -> Credentials:
    """Give the key of an integration that is an operator."""
    maker = bench.add_user(bench.ours, role=Role.ADMIN)
    key = build_integration_key(
        organisation_id=bench.ours.id, made_by=maker.id, role=Role.OPERATOR, secret_hash=hash_secret("secret")
    )
    bench.tables.api_keys[key.id] = key
    return {"X-API-Key": str(ApiKey(key.id, "secret"))}


def line(device_id: object, ts: object = 1_700_000_000_000, /, **values: Any) -> bytes:
    return json.dumps({"device_id": str(device_id), "ts": ts, "values": values}).encode() + b"\n"


async def send(bench: ApiBench, body: bytes | Iterable[bytes], **options: Any) -> Answer:
    whole = body if isinstance(body, bytes) else b"".join(body)
    options = {"by": "operator"} | options
    return await bench.send("/telemetry", whole, headers=NDJSON | options.pop("headers", {}), **options)


def counts_of(answer: Answer) -> list[int]:
    return [answer.json[counter] for counter in COUNTERS]


async def test_readings_of_several_devices_are_stored_and_summed_up(bench: ApiBench, data: TelemetryData) -> None:
    one, two = bench.add_device(), bench.add_device()

    answer = await send(bench, [line(one.id, a=1, b=2), line(two.id, a=3), line(one.id, a=1), line(two.id, a=4)])

    assert (answer.status, answer.headers["Content-Type"]) == (201, "application/json")
    assert answer.json == {
        "received": 5,
        "stored": 3,
        "duplicates": 1,
        "conflicts": 1,
        "rejected": 0,
        "lines": 4,
        "errors": [],
        "errors_omitted": 0,
    }
    assert sorted((point.device_id == two.id, point.metric, point.value) for point in data.points.values()) == [
        (False, "a", 1),
        (False, "b", 2),
        (True, "a", 3),
    ]
    assert {device_id: counts for (device_id, _), counts in data.minutes.items()} == {
        one.id: Counts(stored=2, duplicates=1),
        two.id: Counts(stored=1, conflicts=1),
    }


async def test_another_value_takes_the_place_when_asked_to(bench: ApiBench, data: TelemetryData) -> None:
    device = bench.add_device()

    answer = await send(bench, [line(device.id, a=1), line(device.id, a=2)], query_string={"on_conflict": "replace"})

    assert counts_of(answer) == [2, 2, 0, 0, 0]
    assert [point.value for point in data.points.values()] == [2]


async def test_lines_of_devices_that_are_not_the_callers_are_rejected_all_in_the_same_words(
    bench: ApiBench, data: TelemetryData
) -> None:
    ours = bench.add_device()
    strange = [
        bench.add_device(bench.theirs).id,
        bench.add_device(status=DeviceStatus.RETIRED).id,
        DeviceId(uuid4()),
    ]

    answer = await send(bench, [*(line(device_id, a=1, b=2) for device_id in strange), line(ours.id, a=1)])

    assert counts_of(answer) == [7, 1, 0, 0, 6]
    errors = answer.json["errors"]
    assert [(error.pop("line"), error.pop("index")) for error in errors] == [(1, 0), (2, 1), (3, 2)]
    assert errors[0]["code"] == "registry.device.not_found"
    assert errors == [errors[0]] * 3
    # Nobody else's ledger is written into, nor one of nobody's.
    assert [device_id for device_id, _ in data.minutes] == [ours.id]


async def test_a_suspended_device_is_turned_away_and_its_ledger_tells(bench: ApiBench, data: TelemetryData) -> None:
    suspended, active = bench.add_device(status=DeviceStatus.SUSPENDED), bench.add_device()

    answer = await send(bench, [line(suspended.id, a=1, b=2), line(active.id, a=1), line(suspended.id, c=3)])

    assert counts_of(answer) == [4, 1, 0, 0, 3]
    assert [(error["line"], error["code"]) for error in answer.json["errors"]] == [
        (1, "registry.device.suspended"),
        (3, "registry.device.suspended"),
    ]
    assert {device_id: counts for (device_id, _), counts in data.minutes.items()} == {
        suspended.id: Counts(rejected=3),
        active.id: Counts(stored=1),
    }


async def test_devices_are_heard_of_when_their_readings_were_taken_and_not_later_than_now(
    bench: ApiBench, data: TelemetryData
) -> None:
    silent, old, present, fast, suspended, theirs = (
        bench.add_device(status=DeviceStatus.ACTIVE),
        bench.add_device(status=DeviceStatus.PROVISIONED),
        bench.add_device(status=DeviceStatus.ACTIVE),
        bench.add_device(status=DeviceStatus.ACTIVE),
        bench.add_device(status=DeviceStatus.SUSPENDED),
        bench.add_device(bench.theirs, status=DeviceStatus.ACTIVE),
    )
    before = utc_now()
    ahead = int(before.timestamp() * 1000) + 3_600_000

    await send(
        bench,
        [
            line(old.id, 1_700_000_000_000, a=1),
            line(old.id, 1_600_000_000_000, a=1),
            b'{"device_id":"%b","values":{"a":1}}\n' % str(present.id).encode(),
            line(fast.id, ahead, a=1),
            line(silent.id, a=None),
            line(suspended.id, a=1),
            line(theirs.id, a=1),
        ],
    )
    await bench.container.registry.contacts().write_contacts()

    seen = {device_id: device.last_seen_at for device_id, device in bench.tables.devices.items()}
    assert seen[old.id] == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    # It has not shown a key of its own.
    assert bench.tables.devices[old.id].status is DeviceStatus.PROVISIONED
    for device in (present, fast):
        seen_at = seen[device.id]
        assert seen_at is not None
        assert before <= seen_at <= utc_now()
    assert [seen[device.id] for device in (silent, suspended, theirs)] == [None] * 3


BAD_LINES = {
    b"{": "request.json.malformed",
    b"nonsense": "request.json.malformed",
    b'"\xff"': "request.json.malformed",
    b'{"device_id":"%b","values":{"a":NaN}}': "request.json.malformed",
    b'{"device_id":"%b","values":{"a":1}} {}': "request.json.malformed",
    b"[" * 100_000: "request.json.malformed",
    b"[]": "telemetry.reading.invalid",
    b"null": "telemetry.reading.invalid",
    b"{}": "telemetry.reading.device_id_invalid",
    b'{"device_id":"%b"}': "telemetry.reading.invalid",
    b'{"device_id":"%b","values":[]}': "telemetry.reading.invalid",
    b'{"device_id":"%b","values":{"a":1},"more":1}': "telemetry.reading.invalid",
    b'{"values":{"a":1}}': "telemetry.reading.device_id_invalid",
    b'{"device_id":7,"values":{"a":1}}': "telemetry.reading.device_id_invalid",
    b'{"device_id":["x"],"values":{"a":1}}': "telemetry.reading.device_id_invalid",
    b'{"device_id":"x","values":{"a":1}}': "telemetry.reading.device_id_invalid",
    b'{"device_id":"urn:uuid:%b","values":{"a":1}}': "telemetry.reading.device_id_invalid",
    b'{"device_id":"%b","ts":"yesterday","values":{"a":1}}': "telemetry.reading.time_invalid",
    b'{"device_id":"%b","ts":9e99,"values":{"a":1}}': "telemetry.reading.time_invalid",
    b'{"device_id":"%b","ts":99999999999999,"values":{"a":1}}': "telemetry.point.future",
    b'{"device_id":"%b","ts":1,"values":{"a":1}}': "telemetry.point.too_old",
    b'{"device_id":"%b","values":{"a":1e999}}': "telemetry.point.not_finite",
    b'{"device_id":"%b","values":{"a":null}}': "telemetry.point.null",
    b'{"device_id":"%b","values":{"9":1}}': "telemetry.point.metric_invalid",
    b'{"device_id":"%b","values":{"a":"\\u0000"}}': "telemetry.point.nul_character",
    b'{"device_id":"%b","values":{"a":9007199254740993}}': "telemetry.point.inexact",
    b'{"device_id":"%b","values":{"a":' + b"9" * 5_000 + b"}}": "telemetry.point.inexact",
    b'{"device_id":' + b"9" * 5_000 + b',"values":{"a":1}}': "telemetry.reading.device_id_invalid",
}


async def test_a_bad_line_is_told_by_its_number_and_costs_no_other(bench: ApiBench, data: TelemetryData) -> None:
    device = bench.add_device()
    name = str(device.id).encode()
    sent = []
    for number, bad in enumerate(BAD_LINES):
        sent += [bad.replace(b"%b", name) + b"\r\n", line(device.id, 1_700_000_000_000 + number, a=1)]

    answer = await send(bench, sent)

    assert answer.status == 201
    assert counts_of(answer) == [2 * len(BAD_LINES), len(BAD_LINES), 0, 0, len(BAD_LINES)]
    assert [(error["line"], error["code"]) for error in answer.json["errors"]] == [
        (2 * number + 1, code) for number, code in enumerate(BAD_LINES.values())
    ]


async def test_blank_lines_count_as_lines_alone_and_the_last_needs_no_end(
    bench: ApiBench, data: TelemetryData
) -> None:
    device = bench.add_device()

    answer = await send(bench, b"\xef\xbb\xbf\n \r\n" + line(device.id, a=1) + b"\n\n" + b'{"device_id"')

    assert counts_of(answer) == [2, 1, 0, 0, 1]
    assert (answer.json["lines"], answer.json["errors"][0]["line"]) == (6, 6)


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n\n\n"])
async def test_nothing_sent_is_nothing_received(bench: ApiBench, data: TelemetryData, body: bytes) -> None:
    answer = await send(bench, body)

    assert (answer.status, counts_of(answer), data.minutes) == (201, [0] * 5, {})


async def test_readings_without_a_time_are_of_their_arrival_and_none_is_taken_for_another(
    bench: ApiBench, data: TelemetryData
) -> None:
    device = bench.add_device()
    before = utc_now()

    answer = await send(
        bench, [b'{"device_id":"%b","values":{"a":%d}}\n' % (str(device.id).encode(), n) for n in (1, 2)]
    )

    assert counts_of(answer) == [2, 2, 0, 0, 0]
    assert [point.value for point in sorted(data.points.values(), key=lambda point: point.ts)] == [1, 2]
    assert all(before <= point.ts <= utc_now() for point in data.points.values())


async def test_a_stream_of_which_nothing_can_be_taken_is_refused_with_its_report(
    bench: ApiBench, data: TelemetryData
) -> None:
    answer = await send(bench, [line(uuid4(), a=1), b"x\n"])

    assert (answer.status, answer.json["code"]) == (422, "telemetry.batch.rejected")
    assert counts_of(answer) == [2, 0, 0, 0, 2]
    assert [error["line"] for error in answer.json["errors"]] == [1, 2]


async def test_a_hundred_errors_are_listed_and_the_others_counted(bench: ApiBench, data: TelemetryData) -> None:
    device = bench.add_device()

    answer = await send(bench, b"x\n" * 6_050 + line(device.id, a=1))

    assert answer.status == 201
    assert [error["line"] for error in answer.json["errors"]] == list(range(1, 101))
    assert (answer.json["rejected"], answer.json["errors_omitted"]) == (6_050, 5_950)


async def test_numbers_beside_what_is_none_and_integers_beyond_doubles_are_told_apart(
    bench: ApiBench, data: TelemetryData
) -> None:
    device = bench.add_device()
    values: list[Any] = [1, 2**53 + 1, "on", 2.5, float(2**53)]

    answer = await send(bench, b"".join(line(device.id, 1_700_000_000_000 + n, a=v) for n, v in enumerate(values)))

    assert counts_of(answer) == [5, 4, 0, 0, 1]
    assert [(error["line"], error["code"]) for error in answer.json["errors"]] == [(2, "telemetry.point.inexact")]
    assert [point.value for point in sorted(data.points.values(), key=lambda point: point.ts)] == [
        1,
        "on",
        2.5,
        float(2**53),
    ]


async def test_a_line_has_as_many_values_as_a_reading_may_have(bench: ApiBench, data: TelemetryData) -> None:
    device, other = bench.add_device(), bench.add_device()
    full = {f"m{number}": number for number in range(10_000)}

    answer = await send(bench, [line(device.id, **full), line(device.id, **full, more=1), line(other.id, a=1)])

    assert counts_of(answer) == [20_002, 10_001, 0, 0, 10_001]
    assert [(error["line"], error["code"]) for error in answer.json["errors"]] == [(2, "telemetry.batch.too_large")]


async def test_a_line_without_an_end_is_never_held(bench: ApiBench, data: TelemetryData) -> None:
    device = bench.add_device()

    answer = await send(bench, line(device.id, a=1) + b" " * 100 * MEBIBYTE + b"\n" + line(device.id, b=1))

    assert counts_of(answer) == [3, 2, 0, 0, 1]
    assert [(error["line"], error["code"]) for error in answer.json["errors"]] == [(2, "request.line.too_long")]


def packed(body: bytes, encoding: str) -> dict[str, Any]:
    pack = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor(write_content_size=False).compress}[encoding]
    return {"body": pack(body), "headers": {"Content-Encoding": encoding}}


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_a_packed_stream_is_unpacked(bench: ApiBench, data: TelemetryData, encoding: str) -> None:
    device = bench.add_device()
    body = b"".join(line(device.id, 1_700_000_000_000 + number, a=number) for number in range(12_000))

    answer = await send(bench, **packed(body, encoding))

    assert counts_of(answer) == [12_000, 12_000, 0, 0, 0]


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("damage", ["cut", "more", "wrong"])
async def test_what_came_before_a_damage_is_stored_and_told(
    bench: ApiBench, data: TelemetryData, encoding: str, damage: str
) -> None:
    device = bench.add_device()
    # Random, so that nothing of it is packed small.
    body = b"".join(line(device.id, 1_700_000_000_000 + number, a=str(uuid4())) for number in range(12_000))
    options = packed(body, encoding)
    whole: bytes = options.pop("body")
    damaged = {"cut": whole[: len(whole) * 3 // 4], "more": whole + b"x", "wrong": b"x" + whole}[damage]

    answer = await send(bench, damaged, **options)

    assert (answer.status, answer.json["code"]) == (400, "request.body.malformed")
    assert answer.json["stored"] == len(data.points)
    assert (answer.json["stored"] > 0) == (damage != "wrong")
    assert answer.json["lines"] == answer.json["stored"]


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_a_bomb_is_unpacked_piece_by_piece(bench: ApiBench, data: TelemetryData, encoding: str) -> None:
    answer = await send(bench, **packed(b" " * 64 * MEBIBYTE, encoding))

    # One line, of spaces, too long to be looked at.
    assert (answer.status, answer.json["errors"][0]["code"]) == (422, "request.line.too_long")


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_a_bomb_of_lines_is_given_up_and_what_came_before_is_stored(
    bench: ApiBench, data: TelemetryData, encoding: str
) -> None:
    device = bench.add_device()
    readings = b"".join(line(device.id, 1_700_000_000_000 + number, a=str(uuid4())) for number in range(6_000))

    answer = await send(bench, **packed(readings + b"\n" * 4 * MEBIBYTE, encoding))

    assert (answer.status, answer.json["code"]) == (413, "request.body.overpacked")
    assert 0 < answer.json["stored"] == len(data.points)
    assert answer.json["stored"] <= answer.json["lines"] < 2 * MEBIBYTE


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip"])
async def test_other_packings_are_refused(bench: ApiBench, data: TelemetryData, encoding: str) -> None:
    answer = await send(bench, b"", headers={"Content-Encoding": encoding})

    assert answer.refusal == (415, "request.body.media_type_unsupported")


@pytest.mark.parametrize(
    "media_type", ["application/json", "text/csv", "text/plain", "application/x-ndjson; charset=utf-16"]
)
async def test_another_media_type_is_refused(bench: ApiBench, data: TelemetryData, media_type: str) -> None:
    answer = await send(bench, b"", headers={"Content-Type": media_type})

    assert answer.refusal == (415, "request.body.media_type_unsupported")


async def test_operators_and_integrations_may_send_and_devices_may_not(bench: ApiBench, data: TelemetryData) -> None:
    device = bench.add_device()
    body = line(device.id, a=1)

    assert (await send(bench, body, by=gateway(bench))).status == 201
    assert (await send(bench, body, by="admin")).status == 201
    assert (await send(bench, body, by="engineer")).status == 403
    assert (await send(bench, body, by=bench.give_key(device))).refusal == (403, "identity.device.not_allowed")
    assert (await send(bench, body, by=None)).status == 401
    assert (await send(bench, body, query_string={"unknown": "1"})).status == 422


async def test_an_outage_is_told_with_what_was_stored_before(
    bench: ApiBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_LINES", 1)
    data = TelemetryData()
    keep(bench, partial(DyingUnitOfWork, data))
    device = bench.add_device()

    answer = await send(bench, [line(device.id, a=1), line(device.id, b=1), line(device.id, c=1)])

    assert (answer.status, answer.json["code"]) == (503, "telemetry.store.unavailable")
    assert answer.headers["Retry-After"] == "1"
    assert (counts_of(answer), answer.json["lines"]) == ([1, 1, 0, 0, 0], 1)
    assert len(data.points) == 1


async def test_a_registry_that_is_away_keeps_everything_out(bench: ApiBench, data: TelemetryData) -> None:
    key, device = bench.credentials["operator"], bench.add_device()
    bench.close_registry()

    answer = await send(bench, line(device.id, a=1), by=key)

    assert (answer.status, answer.json["code"], data.points) == (503, "registry.store.unavailable", {})


async def test_a_stream_that_is_sent_again_under_its_key_is_answered_as_the_first_time(
    bench: ApiBench, data: TelemetryData
) -> None:
    device = bench.add_device()
    headers = {"Idempotency-Key": "stream-1", "Content-Encoding": "gzip"}
    body = gzip.compress(line(device.id, a=1), mtime=0)

    first = await send(bench, body, headers=headers)
    again = await send(bench, body, headers=headers)
    other = await send(bench, gzip.compress(line(device.id, a=2)), headers=headers)

    assert (first.status, first.json["stored"], again.body) == (201, 1, first.body)
    assert other.refusal == (409, "idempotency.key.reused")
    assert data.minutes.popitem()[1] == Counts(stored=1)
    await asyncio.gather(*(send(bench, body, headers={"Idempotency-Key": f"k{n}"}) for n in range(MAX_SPOOLS)))


async def test_only_so_many_streams_are_open_at_once(bench: ApiBench, data: TelemetryData) -> None:
    open_ones = [stream.places.take(bench.ours.id) for _ in range(8)]
    refused = await send(bench, b"")
    assert (refused.refusal, refused.headers["Retry-After"]) == ((429, "telemetry.stream.busy"), "5")

    open_ones[0].leave()
    assert (await send(bench, b"")).status == 201
    del open_ones
    assert stream.places.taken == {}


async def slowly(*parts: bytes, then: Any = None) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
        await asyncio.sleep(TRUSTED_SECONDS + 0.1)
        if then is not None:
            await then()


async def test_what_comes_slowly_is_stored_while_it_comes(
    bench: ApiBench, data: TelemetryData, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "PORTION_SECONDS", 0.05)
    device = bench.add_device()
    stored = []

    async def look() -> None:
        stored.append(len(data.points))

    async with await ask(bench, port) as http:
        body = slowly(line(device.id, a=1), line(device.id, b=1)[:20], line(device.id, b=1)[20:], then=look)
        answer = await http.post("/telemetry", content=body, headers=NDJSON)

    assert (answer.status_code, stored) == (201, [1, 1, 2])


async def test_who_is_shut_out_in_the_middle_stores_no_more_and_is_told_what_was_stored(
    bench: ApiBench, data: TelemetryData, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "PORTION_SECONDS", 0.05)
    device = bench.add_device()

    async def log_out() -> None:
        await bench.post("/auth/logout", by="operator")

    async with await ask(bench, port) as http:
        body = slowly(line(device.id, a=1), line(device.id, b=1), line(device.id, c=1), then=log_out)
        answer = await http.post("/telemetry", content=body, headers=NDJSON)

    assert answer.status_code == 401
    assert (answer.json()["code"], answer.json()["stored"], answer.json()["lines"]) == (
        "identity.credential.invalid",
        1,
        1,
    )
    assert len(data.points) == 1


async def test_who_falls_silent_is_hung_up_on_and_told_what_was_stored(
    bench: ApiBench, data: TelemetryData, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "PORTION_SECONDS", 0.05)
    monkeypatch.setattr(lines, "IDLE_SECONDS", 0.2)
    device = bench.add_device()

    async with await ask(bench, port) as http:
        answer = await http.post("/telemetry", content=slowly(line(device.id, a=1), b"x\n"), headers=NDJSON)

    assert (answer.status_code, answer.json()["code"]) == (408, "request.body.too_slow")
    assert (answer.json()["stored"], len(data.points)) == (1, 1)


async def test_of_a_stream_that_breaks_off_what_came_is_stored(
    bench: ApiBench, data: TelemetryData, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "PORTION_SECONDS", 0.05)
    device = bench.add_device()

    async def break_off() -> AsyncIterator[bytes]:
        yield line(device.id, a=1) + line(device.id, b=1)[:10]
        while not data.points:  # noqa: ASYNC110  # only a look tells
            await asyncio.sleep(0.01)
        raise ConnectionAbortedError

    async with await ask(bench, port) as http:
        with pytest.raises(ConnectionAbortedError):
            await http.post("/telemetry", content=break_off(), headers=NDJSON)
        assert (await http.get("/me")).status_code == 200
        async with asyncio.timeout(10):
            while stream.places.taken:  # noqa: ASYNC110  # only a look tells
                await asyncio.sleep(0.01)

    assert [point.metric for point in data.points.values()] == ["a"]
