import gzip
import json
import tracemalloc
import zlib
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import zstandard

from tests.api.telemetry.conftest import Api

GZIP = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
ZSTD = {"Content-Type": "application/json", "Content-Encoding": "zstd"}
PLAIN = {"Content-Type": "application/json"}
READING = {"ts": "2026-11-20T17:00:00Z", "values": {"temperature": 21.5, "mode": "heat"}}
MEBIBYTE = 1024 * 1024


async def test_every_value_is_answered_for(api: Api) -> None:
    await api.send([{"ts": 1_700_000_000_000, "values": {"a": 1, "b": 1}}])

    report = await api.send([{"ts": 1_700_000_000_000, "values": {"a": 1, "b": 2, "c": 3, "d": None}}, 5])

    assert report == {
        "received": 5,
        "stored": 1,
        "duplicates": 1,
        "conflicts": 1,
        "rejected": 2,
        "errors": [
            {
                "index": 0,
                "metric": "d",
                "code": "telemetry.point.null",
                "detail": "null is no value. Leave the metric out.",
            },
            {
                "index": 1,
                "code": "telemetry.reading.invalid",
                "detail": 'A reading is an object {"ts"?, "values": {metric: value}}.',
            },
        ],
    }


async def test_a_reading_without_time_is_of_its_arrival(api: Api) -> None:
    await api.send({"values": {"a": 1}})

    assert (await api.get("/latest"))["values"]["a"]["ts"] == "2026-11-20T17:23:05.123456Z"


async def test_another_value_takes_the_place_when_asked_to(api: Api) -> None:
    await api.send(READING)

    kept = await api.send({**READING, "values": {"temperature": 30}})
    replaced = await api.send({**READING, "values": {"temperature": 30}}, on_conflict="replace")

    assert (kept["conflicts"], replaced["stored"]) == (1, 1)
    assert (await api.get("/latest", metrics="temperature"))["values"]["temperature"]["value"] == 30


@pytest.mark.parametrize("document", [[], {"values": {}}])
async def test_nothing_sent_is_nothing_received(api: Api, document: Any) -> None:
    assert await api.send(document) == {
        "received": 0,
        "stored": 0,
        "duplicates": 0,
        "conflicts": 0,
        "rejected": 0,
        "errors": [],
    }


@pytest.mark.parametrize("document", [1, None, "x", {}, [1], {"values": {"a": None}}, {**READING, "extra": 1}])
async def test_a_batch_without_one_good_value_is_refused_with_its_report(api: Api, document: Any) -> None:
    problem = await api.refusal("POST", status=422, json=document)

    assert problem["code"] == "telemetry.batch.rejected"
    assert problem["received"] == problem["rejected"] > 0
    assert (problem["stored"], problem["duplicates"], problem["conflicts"]) == (0, 0, 0)
    assert problem["errors"][0]["index"] == 0
    assert (await api.get("/ledger"))["items"][0]["rejected"] == problem["rejected"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"values":{"a":NaN}}',
        b'{"values":{"a":Infinity}}',
        b'{"values":{"a":"\xff"}}',
        b'{"values":{"a":"\\ud800"}}',
        b'{"values":{"a":1}} {}',
        b"[" * 100_000,
        b'{"values":{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}}",
        b'{"values":{"a":1e999,"b":NaN}}',
        b'{"values":{"a":1e999,"b":"\xff"}}',
        b'{"values":{"a":' + b"1" * 5_000 + b',"b":NaN}}',
        "ä".encode("utf-16"),
        gzip.compress(b"{}"),
    ],
)
async def test_what_is_no_json_is_refused(api: Api, body: bytes) -> None:
    problem = await api.refusal("POST", status=400, data=body, headers=PLAIN)

    assert problem["code"] == "request.json.malformed"
    assert (await api.get("/ledger"))["items"] == []


@pytest.mark.parametrize("digits", [400, 5_000, 1_000_000])
async def test_a_number_beyond_the_largest_is_rejected_by_itself(api: Api, digits: int) -> None:
    body = b'{"ts":1700000000000,"values":{"a":1e999,"b":-1e400,"c":1.5,"d":[1e999],"e":' + b"1" * digits + b"}}"

    answer = await api.call("POST", data=body, headers=PLAIN)

    report = await answer.get_json()
    assert answer.status_code == 201
    assert (report["stored"], report["rejected"]) == (1, 4)
    assert [error["code"].rpartition(".")[2] for error in report["errors"]] == ["not_finite"] * 3 + ["inexact"]


@pytest.mark.parametrize("other", ["2", '"x"'])
async def test_of_a_name_that_is_given_twice_the_last_counts_as_one_value(api: Api, other: str) -> None:
    body = f'{{"ts":1600000000000,"ts":1700000000000,"values":{{"a":1,"b":1,"a":{other}}}}}'.encode()

    answer = await api.call("POST", data=body, headers=PLAIN)

    report = await answer.get_json()
    assert (answer.status_code, report["received"], report["stored"]) == (201, 2, 2)
    latest = (await api.get("/latest"))["values"]["a"]
    assert latest == {"ts": "2023-11-14T22:13:20.000000Z", "value": json.loads(other)}


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip"])
async def test_a_body_may_be_packed(api: Api, encoding: str) -> None:
    body = gzip.compress(json.dumps(READING).encode())

    answer = await api.call("POST", by=None, data=body, headers=GZIP | {"Content-Encoding": encoding})

    assert answer.status_code == 201
    assert (await answer.get_json())["stored"] == 2


@pytest.mark.parametrize("states_size", [True, False])
async def test_a_body_may_be_packed_as_zstd(api: Api, states_size: bool) -> None:
    packer = zstandard.ZstdCompressor(write_content_size=states_size)
    body = packer.compress(json.dumps(READING).encode())

    answer = await api.call("POST", by=None, data=body, headers=ZSTD)

    assert answer.status_code == 201
    assert (await answer.get_json())["stored"] == 2


WHOLE_FRAME = zstandard.ZstdCompressor().compress(b"{}" * 100)


@pytest.mark.parametrize(
    "body", [b"", b"{}", WHOLE_FRAME[:-1], WHOLE_FRAME + b"x", WHOLE_FRAME * 2, gzip.compress(b"{}")]
)
async def test_damaged_zstd_is_refused(api: Api, body: bytes) -> None:
    problem = await api.refusal("POST", status=400, data=body, headers=ZSTD)

    assert problem["code"] == "request.body.malformed"


@pytest.mark.parametrize("states_size", [True, False])
async def test_a_zstd_bomb_is_never_unpacked_beyond_the_limit(api: Api, states_size: bool) -> None:
    packer = zstandard.ZstdCompressor(write_content_size=states_size)
    body = packer.compress(b" " * 100_000_000)
    assert len(body) < 20_000

    problem = await api.refusal("POST", status=413, data=body, headers=ZSTD)

    assert problem["code"] == "request.body.too_large"


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "nonsense"])
async def test_other_packings_are_refused(api: Api, encoding: str) -> None:
    headers = PLAIN | {"Content-Encoding": encoding}

    problem = await api.refusal("POST", status=415, data=b"{}", headers=headers)

    assert problem["code"] == "request.body.media_type_unsupported"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        gzip.compress(b"{}")[:-1],
        gzip.compress(b"{}")[:15],
        gzip.compress(b"{}") + b"x",
        gzip.compress(b"{}") * 2,
        gzip.compress(b"{}")[:-8] + b"\0" * 8,
        zlib.compress(b"{}"),
    ],
)
async def test_damaged_packings_are_refused(api: Api, body: bytes) -> None:
    problem = await api.refusal("POST", status=400, data=body, headers=GZIP)

    assert problem["code"] == "request.body.malformed"


def bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(b" " * MEBIBYTE) for _ in range(size // MEBIBYTE)) + packer.flush()


async def test_a_bomb_is_not_unpacked(api: Api) -> None:
    packed = bomb(256 * MEBIBYTE)
    tracemalloc.start()
    try:
        problem = await api.refusal("POST", status=413, data=packed, headers=GZIP)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert problem["code"] == "request.body.too_large"
    assert most < 16 * MEBIBYTE


async def test_the_limit_is_five_mebibytes(api: Api) -> None:
    document = json.dumps(READING).encode()
    full = document + b" " * (5 * MEBIBYTE - len(document))

    for body, headers in ((full, PLAIN), (gzip.compress(full, 1), GZIP)):
        assert (await api.call("POST", data=body, headers=headers)).status_code == 201
    for body, headers in ((full + b" ", PLAIN), (gzip.compress(full + b" ", 1), GZIP)):
        assert (await api.call("POST", data=body, headers=headers)).status_code == 413


async def test_the_limit_is_ten_thousand_values(api: Api) -> None:
    values = {f"m{number}": number for number in range(5_000)}
    full = [{"ts": 1_700_000_000_000 + number, "values": values} for number in range(2)]

    problem = await api.refusal("POST", status=413, json=[*full, 1])

    assert problem["code"] == "telemetry.batch.too_large"
    assert (await api.get("/ledger"))["items"] == []
    assert (await api.send(full))["stored"] == 10_000


@pytest.mark.parametrize("query", [{"on_conflict": "x"}, {"on_conflict": ""}, {"unknown": "1"}])
async def test_an_unknown_parameter_is_refused(api: Api, query: dict[str, str]) -> None:
    problem = await api.refusal("POST", status=422, json=READING, query_string=query)

    assert list(problem["errors"]) == list(query)


async def test_another_media_type_is_refused(api: Api) -> None:
    for media_type in ("text/csv", "application/x-ndjson", "text/plain"):
        await api.refusal("POST", status=415, data=b"{}", headers={"Content-Type": media_type})


async def test_operators_and_the_device_itself_may_send(api: Api) -> None:
    assert (await api.call("POST", by="operator", json=READING)).status_code == 201
    assert (await api.call("POST", by=None, json=READING)).status_code == 201
    await api.refusal("POST", status=403, by="engineer", json=READING)
    for by in ("operator", None):
        await api.refusal("POST", status=404, by=by, json=READING, device_id=uuid4())


async def test_what_was_sent_comes_back(api: Api) -> None:
    values = {"i": 21, "f": 0.1, "b": True, "t": "Pümpe 😀", "o": {"a": [1, None, {}]}, "e": []}

    await api.send({"ts": "2026-11-20T18:00:00.5+01:00", "values": values})

    found = await api.get("/latest")
    assert found == {
        "values": {metric: {"ts": "2026-11-20T17:00:00.500000Z", "value": value} for metric, value in values.items()}
    }
    assert msgspec.json.encode(found["values"]["b"]["value"]) == b"true"
