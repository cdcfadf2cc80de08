"""Devices that send readings, and hold what is stored, and what the ledger says, against what they were told."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx

from tests.faults.recording import RecordingClient
from tests.faults.site import Site, eventually

WRITERS = 12
DEVICES = 3
READINGS = 40
METRICS = ("pressure", "mode", "open", "position")
OUTCOMES = ("stored", "duplicates", "conflicts", "rejected")
SHORTLY_SECONDS = 20.0

Reading = dict[str, Any]
Key = tuple[str, str, int]


@dataclass
class Delivery:
    """What was sent in one request; ``rejected`` of its values are ones that nobody takes."""

    device: str
    readings: list[Reading]
    rejected: int = 0

    @property
    def points(self) -> dict[Key, Any]:
        return {
            (self.device, metric, reading["ts"]): value
            for reading in self.readings
            for metric, value in reading["values"].items()
            if value is not None
        }


@dataclass
class TelemetryRecorder(RecordingClient):
    """Sends single readings and batches from several connections; some come again, and some contradict others."""

    site: Site
    seed: int
    devices: list[str] = field(default_factory=list)
    sent: list[Delivery] = field(default_factory=list)
    possible: dict[Key, list[Any]] = field(default_factory=dict)
    """Every value that was sent for a point."""
    certain: dict[Key, list[Any]] = field(default_factory=dict)
    """The values of which one must be there, for somebody was told that one is."""
    least: Counter[str] = field(default_factory=Counter)
    """What was acknowledged, by outcome."""
    most: int = 0
    """How many values were sent, answered or not."""
    unanswered: int = 0
    refused: int = 0

    async def prepare(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311  # only to be repeatable
        self._ts = int(time.time() * 1000) - 86_400_000
        await self.add_devices()

    async def add_devices(self) -> None:
        for _ in range(DEVICES):
            body = {"serial_number": uuid4().hex, "device_type": "pump"}
            answer = await self.site.http.post("/api/v1/devices", headers=self.site.headers, json=body)
            self.devices.append(f"/api/v1/devices/{answer.json()['id']}/telemetry")

    async def record(self, *, stop: asyncio.Event) -> None:
        await asyncio.gather(*(self._send_on(stop) for _ in range(WRITERS)))

    async def _send_on(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            if not await self.send(self._next()):
                await asyncio.sleep(0.02)

    def _next(self) -> Delivery:
        draw = self._random.random()
        if self.sent and draw < 0.2:
            return self._random.choice(self.sent[-100:])
        if self.sent and draw < 0.35:
            return self._contradiction(self._random.choice(self.sent[-100:]))
        count = 1 if draw < 0.7 else READINGS
        readings = [self._reading() for _ in range(count)]
        rejected = int(draw > 0.9)
        if rejected:
            readings[0]["values"]["broken"] = None
        return Delivery(self._random.choice(self.devices), readings, rejected)

    def _reading(self) -> Reading:
        self._ts += 1
        values = {metric: self._value(metric) for metric in self._random.sample(METRICS, self._random.randint(1, 4))}
        return {"ts": self._ts, "values": values}

    def _value(self, metric: str) -> Any:
        number = self._random.randrange(1000)
        kinds = {"mode": f"mode {number}", "open": bool(number % 2), "position": {"x": number, "y": [number, None]}}
        return kinds.get(metric, number / 8)

    def _contradiction(self, delivery: Delivery) -> Delivery:
        readings = [
            {
                "ts": reading["ts"],
                "values": {
                    metric: self._value(metric) for metric, value in reading["values"].items() if value is not None
                },
            }
            for reading in delivery.readings
        ]
        return Delivery(delivery.device, readings)

    async def send(self, delivery: Delivery) -> bool:
        """Send a delivery, and tell whether it was acknowledged."""
        self.sent.append(delivery)
        self.most += len(delivery.points) + delivery.rejected
        for key, value in delivery.points.items():
            self.possible.setdefault(key, []).append(value)
        body = delivery.readings if len(delivery.readings) > 1 else delivery.readings[0]
        try:
            answer = await self.site.http.post(delivery.device, headers=self.site.headers, json=body)
        except httpx.TransportError:
            self.unanswered += 1
            return False
        if answer.status_code == 503:
            assert answer.headers["Retry-After"], answer.text
            self.refused += 1
            return False
        assert answer.status_code == 201, answer.text
        self._acknowledge(delivery, answer.json())
        return True

    def _acknowledge(self, delivery: Delivery, report: dict[str, int]) -> None:
        points = delivery.points
        assert report["received"] == sum(report[outcome] for outcome in OUTCOMES) == len(points) + delivery.rejected
        assert report["rejected"] == delivery.rejected
        self.least.update({outcome: report[outcome] for outcome in OUTCOMES})
        self.acknowledged += 1
        for key, value in points.items():
            # Where nothing conflicted it is this very value, otherwise any that was sent.
            known = [value] if report["conflicts"] == 0 else self.possible[key]
            self.certain[key] = (
                known if len(known) < len(self.certain.get(key, [*known, None])) else self.certain[key]
            )

    async def check(self) -> None:
        """Hold every stored point, and the ledger, against the record."""
        stored: dict[Key, Any] = {}
        for device in self.devices:
            points = await self._points_of(device)
            assert len(points) == len(dict(points)), "a point is there twice"
            stored |= dict(points)
        for key, value in stored.items():
            assert value in self.possible[key], key
        for key, values in self.certain.items():
            assert key in stored, f"{key} was acknowledged, and is not there"
            assert stored[key] in values, key
        counted: Counter[str] = Counter()
        for device in self.devices:
            for entry in (await self._get(f"{device}/ledger?interval=1d"))["items"]:
                assert entry["received"] == sum(entry[outcome] for outcome in OUTCOMES)
                counted.update({outcome: entry[outcome] for outcome in OUTCOMES})
        # What was stored was counted as stored in the same transaction, and once.
        assert counted["stored"] == len(stored)
        assert all(self.least[outcome] <= counted[outcome] for outcome in OUTCOMES), (self.least, counted)
        assert counted.total() <= self.most

    async def _points_of(self, device: str) -> list[tuple[Key, Any]]:
        points: list[tuple[Key, Any]] = []
        cursor = ""
        while True:
            page = await self._get(f"{device}?limit=50000{cursor}")
            for series in page["series"]:
                points += [((device, series["metric"], _milliseconds(ts)), value) for ts, value in series["points"]]
            if page["next_cursor"] is None:
                return points
            cursor = f"&cursor={page['next_cursor']}"

    async def _get(self, path: str) -> dict[str, Any]:
        """Read as a client does that is told to try again shortly."""
        answers: list[httpx.Response] = []

        async def is_answered() -> bool:
            answers.append(await self.site.http.get(path, headers=self.site.headers))
            return answers[-1].status_code != 503

        await eventually(is_answered, within=SHORTLY_SECONDS)
        assert answers[-1].status_code == 200, answers[-1].text
        document: dict[str, Any] = answers[-1].json()
        return document


def _milliseconds(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)
