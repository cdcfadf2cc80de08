"""Who asks too often is told when to come back; who guesses is soon answered without a look."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import httpx
import hypercorn.asyncio
import pytest
from dependency_injector import providers

from iotsphere.app import create_app
from iotsphere.cli.roles.serve import behind_proxies, hypercorn_config
from iotsphere.identity.errors import PasswordsBusyError
from iotsphere.registry.model import DeviceStatus
from iotsphere.throttling.model import SECOND, Limit, RequestLimits
from tests.api.bench import NOWHERE, Answer, ApiBench, Credentials
from tests.fakes.identity import RecordingPasswords
from tests.fakes.throttling import build_throttle

EMAIL, PASSWORD = "odile@waterworks.example", "correct horse"
EXCEEDED = (429, "throttling.requests.exceeded")
GUESSED = (429, "throttling.guesses.exceeded")


def limit(bench: ApiBench, **limits: Limit) -> None:
    bench.container.throttle.override(providers.Object(build_throttle(RequestLimits(**limits))))


async def log_in(bench: ApiBench, password: str = "", email: str = EMAIL) -> Answer:
    return await bench.post("/auth/token", {"email": email, "password": password or "wrong"}, by=None)


async def test_a_user_who_asks_too_often_is_told_when_to_come_back(bench: ApiBench) -> None:
    limit(bench, user=Limit("user", 30 * SECOND, 2))

    answers = [await bench.get("/devices") for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[2].refusal == EXCEEDED
    assert answers[2].headers["Retry-After"] == "30"
    assert (await bench.get("/devices", by="viewer")).status == 200


async def test_the_keys_of_a_device_have_one_limit_and_other_devices_theirs(bench: ApiBench) -> None:
    limit(bench, key=Limit("key", 30 * SECOND, 2))
    pump, boiler = bench.add_device(), bench.add_device()
    keys = [bench.give_key(pump), bench.give_key(pump), bench.give_key(pump), bench.give_key(boiler)]
    paths = [f"/devices/{pump.id}"] * 3 + [f"/devices/{boiler.id}"]

    answers = [await bench.get(path, by=key) for path, key in zip(paths, keys, strict=True)]

    assert [answer.status for answer in answers] == [200, 200, 429, 200]


async def test_a_suspended_device_has_its_limit_like_any_other(bench: ApiBench) -> None:
    limit(bench, key=Limit("key", 30 * SECOND, 2))
    key = bench.give_key(bench.add_device(status=DeviceStatus.SUSPENDED))

    answers = [await bench.get("/me", by=key) for _ in range(3)]

    assert [answer.refusal for answer in answers] == [(403, "registry.device.suspended")] * 2 + [EXCEEDED]


async def test_an_organisation_has_one_limit_and_the_other_its_own(bench: ApiBench) -> None:
    limit(bench, organisation=Limit("organisation", 30 * SECOND, 2))
    theirs = bench.log_in(bench.add_user(bench.theirs))

    answers = [await bench.get("/devices", by=by) for by in ("admin", "viewer", "operator", theirs)]

    assert [answer.status for answer in answers] == [200, 200, 429, 200]
    assert answers[2].refusal == EXCEEDED


async def test_whoever_is_refused_for_another_reason_has_asked_all_the_same(bench: ApiBench) -> None:
    limit(bench, user=Limit("user", 30 * SECOND, 2))

    answers = [await bench.get("/users", by="viewer") for _ in range(3)]

    assert [answer.status for answer in answers] == [403, 403, 429]


async def test_strangers_are_limited_by_address_where_no_credential_is_asked_for(bench: ApiBench) -> None:
    limit(bench, address=Limit("address", 30 * SECOND, 2))

    answers = [await bench.post("/auth/refresh", {"refresh_token": "made up"}, by=None) for _ in range(3)]

    assert [answer.status for answer in answers] == [401, 401, 429]
    assert (await log_in(bench)).refusal == EXCEEDED
    assert (await bench.get("/devices")).status == 200


@pytest.mark.parametrize(
    "by",
    [
        None,
        {"Authorization": "Bearer made.up"},
        {"Authorization": "Basic made-up"},
        {"Cookie": f"iotsphere_session={'x' * 43}"},
        {"X-API-Key": "made up"},
    ],
)
async def test_strangers_are_limited_by_address_where_a_credential_is_asked_for_too(
    bench: ApiBench, by: Credentials | None
) -> None:
    limit(bench, address=Limit("address", 30 * SECOND, 2))

    answers = [await bench.get("/devices", by=by) for _ in range(3)]

    assert [answer.status for answer in answers] == [401, 401, 429]
    assert (await bench.post("/provision", {"serial_number": "SN-1"}, by=None)).status == 429
    assert (await bench.get("/devices")).status == 200


@pytest.mark.parametrize("path", ["/health/live", "/metrics", "/api/v1/openapi.json", "/docs"])
async def test_what_watches_the_platform_is_never_limited(bench: ApiBench, path: str) -> None:
    limit(bench, address=Limit("address", 30 * SECOND, 1))

    assert [(await bench.call("GET", path, by=None)).status for _ in range(5)] == [200] * 5


async def test_wrong_passwords_are_soon_not_even_compared(bench: ApiBench) -> None:
    bench.add_user(bench.ours, email=EMAIL, password_hash=f"hash of {PASSWORD}")
    passwords = RecordingPasswords()
    bench.container.identity.passwords.override(providers.Object(passwords))

    answers = [await log_in(bench) for _ in range(15)]

    assert [answer.status for answer in answers] == [401] * 10 + [429] * 5
    assert answers[-1].refusal == GUESSED
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 30
    assert len(passwords.verified) == 10
    # Right or wrong, nobody is told.
    assert (await log_in(bench, PASSWORD)).refusal == GUESSED


async def test_an_account_that_is_not_there_is_throttled_in_the_same_words(bench: ApiBench) -> None:
    bench.add_user(bench.ours, email=EMAIL, password_hash=f"hash of {PASSWORD}")

    there = [await log_in(bench) for _ in range(12)]
    not_there = [await log_in(bench, email="nobody@waterworks.example") for _ in range(12)]

    def told(answers: list[Answer]) -> list[tuple[int, str, str]]:
        return [(answer.status, answer.code, answer.json["detail"]) for answer in answers]

    assert told(there) == told(not_there)


async def test_who_knows_the_password_logs_in_as_often_as_they_like(bench: ApiBench) -> None:
    bench.add_user(bench.ours, email=EMAIL, password_hash=f"hash of {PASSWORD}")

    assert {(await log_in(bench, PASSWORD)).status for _ in range(60)} == {200}


async def test_while_too_many_log_in_others_are_told_to_come_back(bench: ApiBench) -> None:
    class BusyPasswords(RecordingPasswords):
        async def verify(self, password: str, password_hash: str | None) -> bool:
            raise PasswordsBusyError("Busy.", retry_after_seconds=1)

    bench.container.identity.passwords.override(providers.Object(BusyPasswords()))

    answers = [await log_in(bench) for _ in range(20)]

    assert {answer.refusal for answer in answers} == {(429, "identity.login.busy")}
    assert {answer.headers["Retry-After"] for answer in answers} == {"1"}


async def test_wrong_keys_are_soon_not_even_looked_up_and_a_warm_one_goes_on_working(bench: ApiBench) -> None:
    pump = bench.add_device()
    right = bench.give_key(pump)
    # What was looked up stays known while every change is heard of.
    bench.container.identity.key_cache().prove(time.monotonic() + 3600)
    assert (await bench.get(f"/devices/{pump.id}", by=right)).status == 200

    wrong = [await bench.get("/devices", by={"X-API-Key": f"iot_{uuid4().hex}_guess"}) for _ in range(110)]

    assert [answer.status for answer in wrong[:100]] == [401] * 100
    assert wrong[-1].refusal == GUESSED
    assert (await bench.get(f"/devices/{pump.id}", by=right)).status == 200


async def test_what_is_no_key_at_all_counts_as_a_wrong_one(bench: ApiBench) -> None:
    answers = [await bench.get("/devices", by={"X-API-Key": f"no key {number}"}) for number in range(110)]

    assert [answer.status for answer in answers[:100]] == [401] * 100
    assert answers[-1].refusal == GUESSED


async def test_who_shows_no_credential_guesses_nothing(bench: ApiBench) -> None:
    assert {(await bench.get("/devices", by=None)).status for _ in range(150)} == {401}


@asynccontextmanager
async def served(bench: ApiBench, *, trusted_hops: int) -> AsyncIterator[httpx.AsyncClient]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    stop = asyncio.Event()
    config = hypercorn_config(replace(NOWHERE, host="127.0.0.1", port=port))
    app = behind_proxies(create_app(bench.container), trusted_hops)
    serving = asyncio.create_task(hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait))
    transport = httpx.AsyncHTTPTransport(retries=10)
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}/api/v1", transport=transport, trust_env=False
    ) as http:
        yield http
    stop.set()
    await serving


async def refresh_from(http: httpx.AsyncClient, forwarded_for: str) -> int:
    answer = await http.post(
        "/auth/refresh", json={"refresh_token": "made up"}, headers={"X-Forwarded-For": forwarded_for}
    )
    return answer.status_code


async def test_an_address_that_a_client_makes_up_is_not_believed(bench: ApiBench) -> None:
    limit(bench, address=Limit("address", 30 * SECOND, 2))

    async with served(bench, trusted_hops=0) as http:
        statuses = [await refresh_from(http, f"192.0.2.{number}") for number in range(4)]

    assert statuses == [401, 401, 429, 429]


async def test_behind_a_proxy_the_address_is_the_one_that_the_proxy_saw(bench: ApiBench) -> None:
    limit(bench, address=Limit("address", 30 * SECOND, 2))

    async with served(bench, trusted_hops=1) as http:
        same = [await refresh_from(http, f"192.0.2.{number}, 198.51.100.1") for number in range(4)]
        others = [await refresh_from(http, f"198.51.100.1, 192.0.2.{number}") for number in range(4)]
        odd = [await refresh_from(http, text) for text in ("", "not an address", "[::1]:80", "\x7f")]

    assert same == [401, 401, 429, 429]
    assert others == [401] * 4
    assert set(odd) == {401}
