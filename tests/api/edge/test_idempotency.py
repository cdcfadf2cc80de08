"""``Idempotency-Key`` on what creates something."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from iotsphere.identity.idempotency import IdempotencyService
from tests.api.bench import ApiBench

KEY = {"Idempotency-Key": "key 1"}
NEW = {"serial_number": "SN-1", "device_type": "pump"}


async def test_a_repeat_gets_the_first_answer_and_does_nothing(bench: ApiBench) -> None:
    first = await bench.post("/devices", NEW, headers=KEY)
    await bench.patch(f"/devices/{first.json['id']}", {"name": "Changed"})

    repeated = await bench.post("/devices", NEW, headers=KEY)

    assert first.status == 201
    assert (repeated.status, repeated.body) == (first.status, first.body)
    for name in ("Location", "ETag", "Content-Type"):
        assert repeated.headers[name] == first.headers[name]
    assert repeated.headers["X-Correlation-ID"] != first.headers["X-Correlation-ID"]
    assert len(bench.tables.devices) == 1


async def test_a_key_that_is_shown_once_is_shown_again_to_who_asks_again(bench: ApiBench) -> None:
    path = f"/devices/{bench.add_device().id}/credentials"

    first = await bench.post(path, {}, headers=KEY)
    repeated = await bench.post(path, {}, headers=KEY)

    assert repeated.json["api_key"] == first.json["api_key"]
    assert len(bench.tables.credentials) == 1
    assert first.json["api_key"] not in repr(bench.tables.idempotency)


async def test_another_body_and_another_path_under_the_key_are_refused(bench: ApiBench) -> None:
    await bench.post("/devices", NEW, headers=KEY)

    for path, body in [("/devices", NEW | {"name": "x"}), (f"/devices/{bench.add_device().id}/credentials", NEW)]:
        refused = await bench.post(path, body if path == "/devices" else {}, headers=KEY)
        assert refused.refusal == (409, "idempotency.key.reused")


async def test_another_caller_may_use_the_same_key(bench: ApiBench) -> None:
    await bench.post("/devices", NEW, headers=KEY)

    other = await bench.post("/devices", NEW | {"serial_number": "SN-2"}, headers=KEY, by="operator")

    assert other.status == 201


async def test_a_refused_request_leaves_the_key_to_its_correction(bench: ApiBench) -> None:
    assert (await bench.post("/devices", {}, headers=KEY)).status == 422
    bench.add_device(serial_number="taken")
    assert (await bench.post("/devices", NEW | {"serial_number": "taken"}, headers=KEY)).status == 409

    assert (await bench.post("/devices", NEW, headers=KEY)).status == 201


async def test_who_may_not_does_not_see_the_answer_of_who_might(bench: ApiBench) -> None:
    await bench.post("/devices", NEW, headers=KEY)

    assert (await bench.post("/devices", NEW, headers=KEY, by=None)).status == 401
    assert (await bench.post("/devices", NEW, headers=KEY, by="viewer")).status == 403


async def test_ten_at_once_make_one_device(bench: ApiBench) -> None:
    answers = await asyncio.gather(*(bench.post("/devices", NEW, headers=KEY) for _ in range(10)))

    assert {(answer.status, answer.body) for answer in answers} == {(201, answers[0].body)}
    assert len(bench.tables.devices) == 1


async def test_who_goes_away_in_the_middle_finds_the_answer_later(bench: ApiBench) -> None:
    asking = asyncio.create_task(bench.post("/devices", NEW, headers=KEY))
    for _ in range(1_000):
        await asyncio.sleep(0)
        if bench.tables.idempotency:
            break
    asking.cancel()
    await asyncio.wait([asking])

    answer = await bench.post("/devices", NEW, headers=KEY)

    assert (asking.cancelled(), answer.status) == (True, 201)
    assert answer.headers["Location"] == f"/api/v1/devices/{answer.json['id']}"
    assert len(bench.tables.devices) == 1


async def test_who_is_shut_out_while_waiting_for_the_first_does_not_do_the_work_themselves(
    bench: ApiBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_once = IdempotencyService.answer_once

    async def answer_later(self: IdempotencyService, **given: Any) -> bytes:
        bench.tables.sessions.clear()
        return await answer_once(self, **given)

    monkeypatch.setattr(IdempotencyService, "answer_once", answer_later)
    monkeypatch.setattr("iotsphere.api.operation.TRUSTED_SECONDS", -1)

    refused = await bench.post("/devices", NEW, headers=KEY)

    assert refused.refusal == (401, "identity.credential.invalid")
    assert (bench.tables.devices, bench.tables.idempotency) == ({}, {})


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb"])
async def test_a_key_that_is_none_is_malformed(bench: ApiBench, key: str) -> None:
    refused = await bench.post("/devices", NEW, headers={"Idempotency-Key": key})

    assert refused.refusal == (400, "idempotency.key.malformed")
    assert bench.tables.devices == {}


@pytest.mark.parametrize("key", ["x", "x" * 255, str(uuid4()), "~ !"])
async def test_a_key_is_1_to_255_printable_characters(bench: ApiBench, key: str) -> None:
    assert (await bench.post("/devices", NEW, headers={"Idempotency-Key": key})).status == 201
