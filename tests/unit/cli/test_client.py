"""Refusals, lost answers, expired logins: what a client meets before it gets anything done."""

from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime

import httpx
import pytest

from iotsphere.cli.client import PlatformClient, PlatformError, PlatformUnavailableError, connect
from iotsphere.config import ClientSettings
from tests.fakes.platform_api import EMAIL, PASSWORD, InMemoryPlatform, problem

SETTINGS = ClientSettings("http://platform", EMAIL, PASSWORD)
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
READING = {"ts": NOON, "values": {"a": 1.5}}


@pytest.fixture(name="platform")
def make_platform() -> InMemoryPlatform:
    return InMemoryPlatform()


def connection(
    platform: InMemoryPlatform, settings: ClientSettings = SETTINGS
) -> AbstractAsyncContextManager[PlatformClient]:
    """Connect over a network that is the platform in memory."""
    return connect(settings, transport=httpx.MockTransport(platform.handle))


async def test_a_wrong_password_is_one_sentence_with_code_and_correlation_id(platform: InMemoryPlatform) -> None:
    with pytest.raises(PlatformError) as refusal:
        async with connection(platform, ClientSettings("http://platform", EMAIL, "wrong")):
            pass
    assert str(refusal.value) == (
        f"The platform would not log in {EMAIL}: The e-mail or the password is wrong. (status 401,"
        " code identity.credential.invalid, correlation id a-correlation-id)"
    )
    assert len(platform.requests) == 1


async def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(PlatformError, match=r"'http://\[::1' is no address of a platform"):
        async with connect(ClientSettings("http://[::1", EMAIL, PASSWORD)):
            pass


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "not an address", "ftp://127.0.0.1"])
async def test_an_address_without_a_platform_is_told_at_once(url: str) -> None:
    with pytest.raises(PlatformUnavailableError, match="No platform answers at"):
        async with connect(ClientSettings(url, EMAIL, PASSWORD)):
            pass


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"", b"\xff"])
async def test_something_else_that_answers_is_not_taken_for_a_platform(
    platform: InMemoryPlatform, body: bytes
) -> None:
    platform.ahead = [httpx.Response(502, content=body)]
    with pytest.raises(PlatformError, match="is no IoTSphere platform"):
        async with connection(platform):
            pass


async def test_fields_that_were_refused_are_named(platform: InMemoryPlatform) -> None:
    async with connection(platform) as client:
        errors = {"serial_number": ["Too long.", "Not visible."]}
        platform.ahead = [httpx.Response(422, json={"detail": "Not valid.", "errors": errors})]
        with pytest.raises(PlatformError, match=r"Not valid. serial_number: Too long. Not visible. \(status 422"):
            await client.register_device("x", "pump")


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_platform_is_asked_again_after_the_time_it_names(
    platform: InMemoryPlatform, status: int
) -> None:
    async with connection(platform) as client:
        busy = problem(status, "telemetry.store.unavailable", **{"Retry-After": "0"})
        platform.ahead = [busy] * 5
        device = await client.register_device("x", "pump")
        assert platform.devices == {device["id"]: device}
    keys = {request.headers["Idempotency-Key"] for request in platform.requests[1:]}
    assert len(platform.requests) == 7
    assert len(keys) == 1


async def test_a_platform_that_stays_busy_is_given_up_with_its_reason(platform: InMemoryPlatform) -> None:
    async with connection(platform) as client:
        platform.ahead = [problem(503, "registry.store.unavailable", **{"Retry-After": "0"})] * 100
        with pytest.raises(PlatformUnavailableError, match=r"would not register the device 'x'.*registry.store"):
            await client.register_device("x", "pump")
    assert len(platform.requests) == 1 + 12


async def test_an_answer_lost_on_the_way_is_asked_for_again(platform: InMemoryPlatform) -> None:
    async with connection(platform) as client:
        platform.ahead = [httpx.ReadError("reset"), httpx.ReadTimeout("late"), httpx.DecodingError("no gzip")]
        await client.register_device("x", "pump")
    assert len(platform.devices) == 1


async def test_other_refusals_are_not_tried_again(platform: InMemoryPlatform) -> None:
    async with connection(platform) as client:
        platform.ahead = [problem(403, "identity.role.insufficient")] * 2
        with pytest.raises(PlatformError) as refusal:
            await client.register_device("x", "pump")
    assert (refusal.value.status, refusal.value.code) == (403, "identity.role.insufficient")
    assert len(platform.ahead) == 1


async def test_an_expired_token_is_renewed_once_for_all_calls(platform: InMemoryPlatform) -> None:
    async with connection(platform) as client:
        for round_number in range(2):
            platform.access_token = f"another {round_number}"
            for name in "ab":
                await client.register_device(f"{name}{round_number}", "pump")
    assert platform.count("POST", "/auth/refresh") == 2
    assert len(platform.devices) == 4


async def test_a_login_that_cannot_be_renewed_is_told(platform: InMemoryPlatform) -> None:
    async with connection(platform) as client:
        platform.access_token = platform.refresh_token = "of somebody else"
        with pytest.raises(PlatformError, match="would not renew the login"):
            await client.register_device("x", "pump")


async def test_a_device_is_found_by_its_exact_serial_number_on_any_page(platform: InMemoryPlatform) -> None:
    async with connection(platform) as client:
        for serial_number in ("pump-11", "my-pump-1", "pump-1"):
            await client.register_device(serial_number, "pump")
        found = await client.find_device("pump-1")
        assert found is not None
        assert found["serial_number"] == "pump-1"
        assert await client.find_device("ump") is None


async def test_a_device_posts_with_its_own_key_and_nothing_of_its_maker(platform: InMemoryPlatform) -> None:
    async with connection(platform) as client:
        device = await client.register_device("x", "pump")
        speaker = await client.create_credential(device["id"], "test")
        counts = await speaker.post_readings([READING])
        assert counts["stored"] == 1
        assert "Authorization" not in platform.requests[-1].headers
        await client.revoke_credential(speaker)
        with pytest.raises(PlatformError, match="would not store the readings"):
            await speaker.post_readings([READING])


async def test_readings_that_are_all_rejected_are_an_answer(platform: InMemoryPlatform) -> None:
    async with connection(platform) as client:
        device = await client.register_device("x", "pump")
        speaker = await client.create_credential(device["id"], "test")
        counts = await speaker.post_readings([{"ts": datetime(1999, 1, 1, tzinfo=UTC), "values": {"a": 1}}])
    assert (counts["received"], counts["rejected"]) == (1, 1)


async def test_points_are_counted_over_all_intervals_and_pages(platform: InMemoryPlatform) -> None:
    async with connection(platform) as client:
        device = await client.register_device("x", "pump")
        pages = [
            {"series": [{"metric": "a", "points": [{"count": 1}, {"count": 2}]}], "next_cursor": "more"},
            {"series": [{"metric": "a", "points": [{"count": 4}]}], "next_cursor": None},
        ]
        platform.ahead = [httpx.Response(200, json=page) for page in pages]
        counts = await client.count_points(device["id"], metrics=["a", "b"], start=NOON, end=NOON)
    assert counts == {"a": 7, "b": 0}
    assert platform.requests[-1].url.params["cursor"] == "more"
