"""The public HTTP API as far as the command line uses it, in memory: devices, keys, points, shadows, logs."""

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

import httpx

from iotsphere.api.operation import ARCHIVED, NEXT_CURSOR
from iotsphere.api.telemetry.formats import POINTS, ArrowWriter
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.model import Point

EMAIL = "operator@example.org"
PASSWORD = "correct horse battery staple"
EARLIEST = datetime.fromisoformat("2000-01-01T00:00:00Z")


@dataclass
class InMemoryPlatform:
    """``ahead`` holds answers given instead of the true ones, first to last, one for each request that comes."""

    devices: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    """Valid API keys, with the device that each is of."""
    points: dict[tuple[str, str, datetime], Any] = field(default_factory=dict)
    desired: dict[str, dict[str, Any]] = field(default_factory=dict)
    reported: dict[str, dict[str, Any]] = field(default_factory=dict)
    maintenance: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """The maintenance log of each device."""
    requests: list[httpx.Request] = field(default_factory=list)
    ahead: list[httpx.Response | Exception] = field(default_factory=list)
    seen: list[Callable[[httpx.Request], None]] = field(default_factory=list)
    """Called with every request before it is answered."""
    access_token: str = "first token"
    refresh_token: str = "first refresh token"
    units: dict[str, str] = field(default_factory=dict)
    archived: dict[str, str] = field(default_factory=dict)
    """Headers with which pages of points say more."""
    losing: str | None = None
    """A metric whose points are acknowledged and not kept."""

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        for watcher in self.seen:
            watcher(request)
        if self.ahead:
            answer = self.ahead.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        for method, pattern, endpoint in self._routes():
            found = re.fullmatch(f"/api/v1{pattern}", request.url.path)
            if found and request.method == method:
                return endpoint(request, *found.groups())
        return problem(404, "request.path.unknown")

    def count(self, method: str, end_of_path: str) -> int:
        return sum(request.method == method and request.url.path.endswith(end_of_path) for request in self.requests)

    def metrics_of(self, serial_number: str) -> Counter[str]:
        """Count the points kept of a device by metric."""
        device = self._by_serial_number(serial_number)["id"]
        return Counter(metric for device_id, metric, _ in self.points if device_id == device)

    def log_of(self, serial_number: str) -> list[dict[str, Any]]:
        """Give the maintenance log of a device."""
        return self.maintenance.get(self._by_serial_number(serial_number)["id"], [])

    def _by_serial_number(self, serial_number: str) -> dict[str, Any]:
        return next(device for device in self.devices.values() if device["serial_number"] == serial_number)

    def _routes(self) -> list[tuple[str, str, Callable[..., httpx.Response]]]:
        device = "/devices/([^/]+)"
        return [
            ("POST", "/auth/token", self._log_in),
            ("POST", "/auth/refresh", self._refresh),
            ("POST", "/devices", self._as_user(self._register)),
            ("GET", "/devices", self._as_user(self._list)),
            ("POST", f"{device}/credentials", self._as_user(self._make_key)),
            ("DELETE", f"{device}/credentials/([^/]+)", self._as_user(self._revoke)),
            ("GET", device, self._as_user(self._show)),
            ("GET", f"{device}/telemetry", self._as_user(self._read)),
            ("POST", "/telemetry", self._as_user(self._append_lines)),
            ("POST", f"{device}/telemetry", self._as_device(self._append)),
            ("GET", f"{device}/maintenance-events", self._as_user(self._show_log)),
            ("POST", f"{device}/maintenance-events", self._as_user(self._log)),
            ("GET", f"{device}/shadow", self._as_device(self._shadow)),
            ("PATCH", f"{device}/shadow", self._as_device(self._report)),
        ]

    def _as_user(self, endpoint: Callable[..., httpx.Response]) -> Callable[..., httpx.Response]:
        def checked(request: httpx.Request, *parts: str) -> httpx.Response:
            if request.headers.get("Authorization") != f"Bearer {self.access_token}":
                return problem(401, "identity.token.invalid")
            return endpoint(request, *parts)

        return checked

    def _as_device(self, endpoint: Callable[..., httpx.Response]) -> Callable[..., httpx.Response]:
        def checked(request: httpx.Request, device_id: str) -> httpx.Response:
            if self.keys.get(request.headers.get("X-API-Key", "")) != device_id:
                return problem(401, "identity.credential.invalid")
            return endpoint(request, device_id)

        return checked

    def _log_in(self, request: httpx.Request) -> httpx.Response:
        if json.loads(request.content) != {"email": EMAIL, "password": PASSWORD}:
            return problem(401, "identity.credential.invalid", "The e-mail or the password is wrong.")
        return self._tokens()

    def _refresh(self, request: httpx.Request) -> httpx.Response:
        if json.loads(request.content) != {"refresh_token": self.refresh_token}:
            return problem(401, "identity.token.invalid", "The refresh token is not valid.")
        self.access_token, self.refresh_token = f"token {uuid4()}", f"refresh token {uuid4()}"
        return self._tokens()

    def _tokens(self) -> httpx.Response:
        body = {"access_token": self.access_token, "token_type": "Bearer", "refresh_token": self.refresh_token}
        return httpx.Response(200, json=body)

    def _register(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if any(device["serial_number"] == body["serial_number"] for device in self.devices.values()):
            return problem(409, "registry.device.serial_number_taken", "The serial number is taken.")
        device = {"id": str(uuid4()), **body}
        self.devices[device["id"]] = device
        return httpx.Response(201, json=device)

    def _list(self, request: httpx.Request) -> httpx.Response:
        """Give the matches one to a page, other serial numbers that hold the text too."""
        found = [device for device in self.devices.values() if request.url.params["q"] in device["serial_number"]]
        first = int(request.url.params.get("cursor", 0))
        following = str(first + 1) if first + 1 < len(found) else None
        return httpx.Response(200, json={"items": found[first : first + 1], "next_cursor": following})

    def _make_key(self, request: httpx.Request, device_id: str) -> httpx.Response:
        key = str(uuid4())
        self.keys[f"iot_{key}_secret"] = device_id
        return httpx.Response(201, json={"id": key, "api_key": f"iot_{key}_secret"})

    def _revoke(self, request: httpx.Request, device_id: str, credential_id: str) -> httpx.Response:
        del self.keys[f"iot_{credential_id}_secret"]
        return httpx.Response(204)

    def _append(self, request: httpx.Request, device_id: str) -> httpx.Response:
        counts = Counter(dict.fromkeys(("received", "stored", "duplicates", "conflicts", "rejected"), 0))
        for reading in json.loads(request.content):
            at = datetime.fromisoformat(reading["ts"])
            for metric, value in reading["values"].items():
                counts.update(("received", self._judge(device_id, metric, at, value)))
        errors = [{"index": 0, "code": "telemetry.point.past", "detail": "Before 2000."}] * counts["rejected"]
        all_rejected = counts["rejected"] == counts["received"]
        return httpx.Response(422 if all_rejected else 201, json={**counts, "errors": errors[:10]})

    def _judge(self, device_id: str, metric: str, at: datetime, value: Any) -> str:
        if at < EARLIEST:
            return "rejected"
        if metric == self.losing:
            return "stored"
        known = self.points.setdefault((device_id, metric, at), None)
        if known is None:
            self.points[device_id, metric, at] = value
            return "stored"
        return "duplicates" if known == value else "conflicts"

    def _show(self, request: httpx.Request, device_id: str) -> httpx.Response:
        device = self.devices.get(device_id)
        return httpx.Response(200, json=device) if device else problem(404, "registry.device.not_found")

    def _append_lines(self, request: httpx.Request) -> httpx.Response:
        counts = Counter(dict.fromkeys(("received", "stored", "duplicates", "conflicts", "rejected"), 0))
        errors = []
        for number, line in enumerate(request.content.splitlines(), 1):
            reading = json.loads(line)
            at = datetime.fromisoformat(reading["ts"])
            for metric, value in reading["values"].items():
                judged = self._judge(reading["device_id"], metric, at, value)
                counts.update(("received", judged))
                if judged == "rejected":
                    errors.append({"line": number, "code": "telemetry.point.past", "detail": "Before 2000."})
        all_rejected = counts["rejected"] == counts["received"]
        return httpx.Response(422 if all_rejected else 201, json={**counts, "errors": errors[:10]})

    def _read(self, request: httpx.Request, device_id: str) -> httpx.Response:
        """Give points as Arrow, three to a page, whatever is asked for, or counts of them."""
        asked = request.url.params
        if "interval" in asked:
            return self._count(request, device_id)
        start = datetime.fromisoformat(asked.get("start", "2000-01-01T00:00:00Z"))
        end = datetime.fromisoformat(asked.get("end", "2100-01-01T00:00:00Z"))
        metrics = asked["metrics"].split(",") if "metrics" in asked else None
        found = sorted(
            (at, metric)
            for device, metric, at in self.points
            if device == device_id and start <= at < end and (metrics is None or metric in metrics)
        )
        first = int(asked.get("cursor", 0))
        points = [
            Point(DeviceId(UUID(int=0)), metric, at, self.points[device_id, metric, at])
            for at, metric in found[first : first + 3]
        ]
        writer = ArrowWriter(POINTS.with_units(self.units))
        headers = {NEXT_CURSOR: str(first + 3)} if first + 3 < len(found) else {}
        content = writer.begin() + writer.write(points) + writer.end()
        return httpx.Response(200, content=content, headers=headers | self.archived)

    def _count(self, request: httpx.Request, device_id: str) -> httpx.Response:
        """Count in two intervals, split at noon, as a range longer than one interval would be."""
        asked = request.url.params
        start, end = datetime.fromisoformat(asked["start"]), datetime.fromisoformat(asked["end"])
        metrics = set(asked["metrics"].split(","))
        counts = Counter(
            (metric, at.hour < 12)
            for device, metric, at in self.points
            if metric in metrics and device == device_id and start <= at < end
        )
        series: dict[str, list[dict[str, Any]]] = {}
        for (metric, _), count in counts.items():
            series.setdefault(metric, []).append({"ts": asked["start"], "count": count})
        body = [{"metric": metric, "points": points} for metric, points in series.items()]
        return httpx.Response(200, json={"device_id": device_id, "series": body, "next_cursor": None})

    def _show_log(self, request: httpx.Request, device_id: str) -> httpx.Response:
        """Give the events one to a page."""
        asked = request.url.params
        events = self.maintenance.get(device_id, [])
        found = [event for event in events if asked["start"] <= event["occurred_at"] < asked["end"]]
        first = int(asked.get("cursor", 0))
        following = str(first + 1) if first + 1 < len(found) else None
        return httpx.Response(200, json={"items": found[first : first + 1], "next_cursor": following})

    def _log(self, request: httpx.Request, device_id: str) -> httpx.Response:
        event = json.loads(request.content)
        self.maintenance.setdefault(device_id, []).append(event)
        return httpx.Response(201, json={"id": str(uuid4()), "device_id": device_id} | event)

    def _shadow(self, request: httpx.Request, device_id: str) -> httpx.Response:
        desired, reported = self.desired.get(device_id, {}), self.reported.get(device_id, {})
        delta = {key: value for key, value in desired.items() if reported.get(key) != value}
        state = {"desired": desired, "reported": reported, "delta": delta}
        return httpx.Response(200, json={"state": {name: part for name, part in state.items() if part}, "version": 1})

    def _report(self, request: httpx.Request, device_id: str) -> httpx.Response:
        state = json.loads(request.content)["state"]
        self.reported[device_id] = self.reported.get(device_id, {}) | state["reported"]
        return httpx.Response(200, json={"state": state, "version": 2})


def problem(status: int, code: str, detail: str = "It is so.", **headers: str) -> httpx.Response:
    body = {"status": status, "code": code, "detail": detail, "correlation_id": "a-correlation-id"}
    return httpx.Response(status, json=body, headers=headers | {"Content-Type": "application/problem+json"})


@contextmanager
def serving(platform: InMemoryPlatform) -> Iterator[str]:
    """Put the platform behind a real socket of this machine and give its address."""
    guard = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = httpx.Request(
                self.command, f"http://platform{self.path}", headers=dict(self.headers), content=body
            )
            with guard:
                response = platform.handle(request)
            self.send_response(response.status_code)
            for name in ("Content-Type", "Retry-After", NEXT_CURSOR, ARCHIVED):
                if name in response.headers:
                    self.send_header(name, response.headers[name])
            self.send_header("Content-Length", str(len(response.content)))
            self.end_headers()
            self.wfile.write(response.content)

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815  # the names that http.server calls

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its signature
            """Say nothing: a test's output is its failures."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
