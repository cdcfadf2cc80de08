"""A client of the public HTTP API, for the commands that speak to a running platform.

Whatever goes wrong becomes one sentence that a person can act on, with the platform's code and correlation id.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import stamina

from iotsphere.cli.errors import CommandError
from iotsphere.cli.point_pages import ARROW, PointPage, read_page
from iotsphere.config import ClientSettings
from iotsphere.kernel.times import format_time

NDJSON = "application/x-ndjson"
MOST_POINTS = 50_000
"""The platform's limit, of one page."""
MOST_EVENTS = "500"
"""Likewise."""
ATTEMPTS = 12
FEW_ATTEMPTS = 2
"""What is not told now is told with the next readings, which must not wait for it."""
LONGEST_RETRY_AFTER_SECONDS = 30.0
TIMEOUT = httpx.Timeout(30.0, connect=5.0)
TRY_AGAIN = frozenset({429, 503})


class PlatformError(CommandError):
    """The platform refused, or does not answer; the text says what was asked for and why it was not given."""

    def __init__(self, sentence: str, *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code


class PlatformUnavailableError(PlatformError):
    """Worth another try, after ``retry_after_seconds`` where the platform named a time."""

    def __init__(self, sentence: str, *, status: int | None = None, retry_after_seconds: float | None = None) -> None:
        super().__init__(sentence, status=status)
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class Call:
    """One request. ``purpose`` completes "The platform would not ..."."""

    purpose: str
    method: str
    path: str
    body: Any = None
    lines: bytes | None = None
    """Lines of JSON, in place of a body."""
    params: Mapping[str, str] = field(default_factory=dict)
    attempts: int = ATTEMPTS
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def creating(cls, purpose: str, path: str, body: Any, *, attempts: int = ATTEMPTS) -> "Call":
        """Make a POST that may be sent again after a lost answer without creating anything twice."""
        return cls(purpose, "POST", path, body, attempts=attempts, headers={"Idempotency-Key": str(uuid4())})


class PlatformClient:
    """Speaks as a user. Logs in when connecting, renews its token when that has expired."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._access_token = ""
        self._refresh_token = ""
        self._renewal = asyncio.Lock()

    async def log_in(self, email: str, password: str) -> None:
        """Get a token.

        Tried once: a wrong password is throttled, and an address where nobody answers is best told at once.
        """
        body = {"email": email, "password": password}
        call = Call(f"log in {email}", "POST", "/auth/token", body, attempts=1)
        self._keep_tokens(await send(self._http, call))

    async def register_device(
        self, serial_number: str, device_type: str, properties: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        asset = {"asset": {"properties": properties}} if properties else {}
        body = {"serial_number": serial_number, "device_type": device_type} | asset
        call = Call.creating(f"register the device {serial_number!r}", "/devices", body)
        return await self.request(call)  # type: ignore[no-any-return]

    async def find_device(self, serial_number: str) -> dict[str, Any] | None:
        """Look a device up by its exact serial number."""
        call = Call(f"find the device {serial_number!r}", "GET", "/devices", params={"q": serial_number})
        async for page in self._pages(call):
            for device in page["items"]:
                if device["serial_number"] == serial_number:
                    return device  # type: ignore[no-any-return]
        return None

    async def resolve_device(self, name: str) -> dict[str, Any] | None:
        """Look a device up by its id or its serial number."""
        try:
            device_id = UUID(name)
        except ValueError:
            return await self.find_device(name)
        call = Call(f"show the device {name}", "GET", f"/devices/{device_id}")
        try:
            return await self.request(call)  # type: ignore[no-any-return]
        except PlatformError as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise
        # A serial number may look like an id.
        return await self.find_device(name)

    async def create_credential(self, device_id: str, label: str) -> "DeviceClient":
        """Make a key of the device's own and give the client that speaks with it."""
        path = f"/devices/{device_id}/credentials"
        answer = await self.request(Call.creating("make a key for the device", path, {"label": label}))
        return DeviceClient(self._http, device_id, answer["id"], answer["api_key"])

    async def revoke_credential(self, device: "DeviceClient") -> None:
        path = f"/devices/{device.device_id}/credentials/{device.credential_id}"
        await self.request(Call("revoke a key", "DELETE", path, attempts=1))

    async def read_points(self, device_id: str, asked: Mapping[str, str]) -> AsyncIterator[PointPage]:
        """Give the device's points page by page, in the order of time and metric."""
        params = {**asked, "limit": str(MOST_POINTS)}
        while True:
            path = f"/devices/{device_id}/telemetry"
            call = Call("read the points", "GET", path, params=params, headers={"Accept": ARROW})
            page = await self._as_user(partial(_send_for_page, self._http, call))
            yield page
            if page.next_cursor is None:
                return
            params["cursor"] = page.next_cursor

    async def post_lines(self, lines: bytes) -> dict[str, Any]:
        """Store readings of many devices and give the platform's counts, also where it rejected every one of them."""
        call = Call("store the readings", "POST", "/telemetry", lines=lines)
        return await self._as_user(partial(_send_counted, self._http, call))  # type: ignore[no-any-return]

    async def count_points(
        self, device_id: str, *, metrics: Sequence[str], start: datetime, end: datetime
    ) -> dict[str, int]:
        """Count the stored points of each metric from ``start`` up to, not including, ``end``."""
        params = {
            "metrics": ",".join(metrics),
            "start": format_time(start),
            "end": format_time(end),
            "interval": "30d",
            "aggregates": "count",
        }
        path = f"/devices/{device_id}/telemetry"
        counts = dict.fromkeys(metrics, 0)
        async for page in self._pages(Call("read the counts back", "GET", path, params=params)):
            for series in page["series"]:
                counts[series["metric"]] += sum(point["count"] for point in series["points"])
        return counts

    async def list_maintenance(
        self, device_id: str, *, start: datetime, end: datetime, attempts: int = ATTEMPTS
    ) -> list[dict[str, Any]]:
        """List what happened to a device from ``start`` up to, not including, ``end``."""
        params = {"start": format_time(start), "end": format_time(end), "limit": MOST_EVENTS}
        path = f"/devices/{device_id}/maintenance-events"
        call = Call("show the maintenance log", "GET", path, params=params, attempts=attempts)
        return [event async for page in self._pages(call) for event in page["items"]]

    async def record_maintenance(self, device_id: str, event: Mapping[str, Any], *, attempts: int = ATTEMPTS) -> None:
        path = f"/devices/{device_id}/maintenance-events"
        await self.request(Call.creating("record what has happened", path, event, attempts=attempts))

    async def request(self, call: Call) -> Any:
        """Make a call as the user.

        :raises PlatformError: the platform refused.
        """
        return await self._as_user(partial(send, self._http, call))

    async def _as_user(self, sending: Callable[[Mapping[str, str]], Awaitable[Any]]) -> Any:
        token = self._access_token
        try:
            return await sending({"Authorization": f"Bearer {token}"})
        except PlatformError as error:
            if error.status != httpx.codes.UNAUTHORIZED:
                raise
        await self._renew(token)
        return await sending({"Authorization": f"Bearer {self._access_token}"})

    async def _pages(self, call: Call) -> AsyncIterator[dict[str, Any]]:
        cursor: dict[str, str] = {}
        while True:
            page = await self.request(replace(call, params={**call.params, **cursor}))
            yield page
            if page.get("next_cursor") is None:
                return
            cursor = {"cursor": page["next_cursor"]}

    async def _renew(self, stale_token: str) -> None:
        """Get a new token once for all the calls that met the old one's end; a refresh token works a single time."""
        async with self._renewal:
            if self._access_token == stale_token:
                body = {"refresh_token": self._refresh_token}
                call = Call("renew the login", "POST", "/auth/refresh", body, attempts=1)
                self._keep_tokens(await send(self._http, call))

    def _keep_tokens(self, answer: Mapping[str, str]) -> None:
        self._access_token, self._refresh_token = answer["access_token"], answer["refresh_token"]


class DeviceClient:
    """Speaks as one device, with its own key."""

    def __init__(self, http: httpx.AsyncClient, device_id: str, credential_id: str, api_key: str) -> None:
        self.device_id = device_id
        self.credential_id = credential_id
        self._http = http
        self._headers = {"X-API-Key": api_key}

    async def post_readings(self, readings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Store readings and give the platform's counts, also where it rejected every one of them."""
        path = f"/devices/{self.device_id}/telemetry"
        return await _send_counted(self._http, Call("store the readings", "POST", path, readings), self._headers)

    async def get_shadow(self) -> dict[str, Any]:
        path = f"/devices/{self.device_id}/shadow"
        return await send(self._http, Call("show the shadow", "GET", path, attempts=FEW_ATTEMPTS), self._headers)  # type: ignore[no-any-return]

    async def report_state(self, reported: Mapping[str, Any]) -> None:
        path = f"/devices/{self.device_id}/shadow"
        body = {"state": {"reported": reported}}
        call = Call("take the reported state", "PATCH", path, body, attempts=FEW_ATTEMPTS)
        await send(self._http, call, self._headers)


@asynccontextmanager
async def connect(
    settings: ClientSettings, *, connections: int = 10, transport: httpx.AsyncBaseTransport | None = None
) -> AsyncIterator[PlatformClient]:
    """Log in and give a client; ``transport`` stands in for the network.

    :raises PlatformError: nobody answers there, or the login is refused.
    """
    async with _open(settings.url, connections, transport) as http:
        client = PlatformClient(http)
        await client.log_in(settings.email, settings.password or "")
        yield client


def _open(url: str, connections: int, transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
    try:
        # The environment's proxies are for the world outside; the platform is nearly always on this machine or site.
        return httpx.AsyncClient(
            base_url=f"{url.rstrip('/')}/api/v1",
            timeout=TIMEOUT,
            limits=httpx.Limits(max_connections=connections),
            transport=transport,
            trust_env=False,
        )
    except httpx.InvalidURL as error:
        raise PlatformError(f"{url!r} is no address of a platform: {error}.") from error


async def send(http: httpx.AsyncClient, call: Call, headers: Mapping[str, str] | None = None) -> Any:
    """Make a call and give the JSON object of the answer.

    :raises PlatformUnavailableError: no answer, or none but 429 and 503, however often it was asked.
    :raises PlatformError: any other refusal.
    """
    response = await _exchange(http, call, headers or {})
    if not response.is_success:
        raise _refusal(call, response)
    return _read_json(call, response) if response.content else None


async def _send_for_page(http: httpx.AsyncClient, call: Call, headers: Mapping[str, str]) -> PointPage:
    response = await _exchange(http, call, headers)
    if not response.is_success:
        raise _refusal(call, response)
    try:
        return read_page(response.content, response.headers)
    except ValueError as error:
        raise _strange(call, response, "no table of points") from error


async def _send_counted(http: httpx.AsyncClient, call: Call, headers: Mapping[str, str]) -> dict[str, Any]:
    """Make a call that stores readings, and give the counts; that all were rejected is no refusal here."""
    response = await _exchange(http, call, headers)
    answer = _read_json(call, response)
    is_settled = response.is_success or response.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    if not is_settled or "received" not in answer:
        raise _refusal(call, response)
    return answer


async def _exchange(http: httpx.AsyncClient, call: Call, headers: Mapping[str, str]) -> httpx.Response:
    """Send, again where that helps, a bounded number of times."""
    async for attempt in stamina.retry_context(on=_wait_before_retry, attempts=call.attempts, timeout=120.0):
        with attempt:
            response = await _send_once(http, call, headers)
    return response


async def _send_once(http: httpx.AsyncClient, call: Call, headers: Mapping[str, str]) -> httpx.Response:
    content = call.lines if call.body is None else msgspec.json.encode(call.body)
    kind = {} if content is None else {"Content-Type": "application/json" if call.lines is None else NDJSON}
    try:
        response = await http.request(
            call.method, call.path, params=call.params, content=content, headers={**call.headers, **kind, **headers}
        )
    except httpx.RequestError as error:
        reason = f"No platform answers at {http.base_url} ({str(error) or type(error).__name__}). Is it running?"
        raise PlatformUnavailableError(reason) from error
    if response.status_code in TRY_AGAIN:
        sentence = str(_refusal(call, response))
        raise PlatformUnavailableError(
            sentence, status=response.status_code, retry_after_seconds=_retry_after_seconds(response)
        )
    return response


def _wait_before_retry(error: Exception) -> bool | float:
    """Tell stamina whether to try again: after the time the platform named, else with its own growing pauses."""
    if not isinstance(error, PlatformUnavailableError):
        return False
    return True if error.retry_after_seconds is None else error.retry_after_seconds


def _retry_after_seconds(response: httpx.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    return min(float(value), LONGEST_RETRY_AFTER_SECONDS) if value.isdecimal() else None


def _refusal(call: Call, response: httpx.Response) -> PlatformError:
    problem = _read_json(call, response)
    errors = problem.get("errors")
    # Of readings there is a list.
    said_of = errors if isinstance(errors, dict) else {}
    fields = "".join(f" {name}: {' '.join(map(str, said))}" for name, said in said_of.items())
    code, correlation_id = problem.get("code", "none"), problem.get("correlation_id", "none")
    sentence = (
        f"The platform would not {call.purpose}: {problem.get('detail') or problem.get('title')}{fields}"
        f" (status {response.status_code}, code {code}, correlation id {correlation_id})"
    )
    return PlatformError(sentence, status=response.status_code, code=code)


def _read_json(call: Call, response: httpx.Response) -> dict[str, Any]:
    try:
        return msgspec.json.decode(response.content, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise _strange(call, response, "no JSON object") from error


def _strange(call: Call, response: httpx.Response, missing: str) -> PlatformError:
    return PlatformError(
        f"What answers at {response.url} is no IoTSphere platform: asked to {call.purpose}, it answered with"
        f" status {response.status_code} and {missing}.",
        status=response.status_code,
    )
