"""A client that writes to shadows, and holds what it finds later against what it was told."""

import asyncio
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from uuid import uuid4

import httpx

from tests.faults.recording import RecordingClient
from tests.faults.site import Site, eventually

SHADOWS = 30
CONNECTIONS = 8
UNAVAILABLE = {503}
# How long what says "try again shortly" may go on: a busy machine takes its time, and nobody waits for half a minute.
SHORTLY_SECONDS = 20.0
# What may be lost of the reported state with the store and everybody who worked on it.
LOST_SECONDS = 1.0


@dataclass
class Place:
    """One value of one shadow: what was acknowledged and when, and what may have been made without an answer."""

    acknowledged: list[tuple[float, int]] = field(default_factory=list)
    possible: set[int] = field(default_factory=set)

    def acknowledge(self, value: int) -> None:
        self.acknowledged.append((time.monotonic(), value))
        # Nothing before it can be there any more.
        self.possible.clear()

    def expected(self, *, lost_since: float | None) -> set[int | None]:
        """Tell what may be found; None stands for nothing."""
        values: list[int | None] = [None, *(value for _, value in self.acknowledged)]
        safe = sum(lost_since is None or at < lost_since for at, _ in self.acknowledged)
        return {*values[safe:], *self.possible}


@dataclass
class Recorder(RecordingClient):
    """Writes to many shadows from several connections, and records what it is told of each."""

    site: Site
    paths: list[str] = field(default_factory=list)
    places: dict[tuple[str, str, str], Place] = field(default_factory=dict)
    made: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    """The patch that made each version, as far as it was acknowledged."""
    versions: dict[str, int] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    may_skip: bool = False
    """Whether versions may go on further, as they do where a change without an answer can have been lost."""
    count: int = 0

    async def prepare(self) -> None:
        body = {"serial_number": uuid4().hex, "device_type": "pump"}
        device = (await self.site.http.post("/api/v1/devices", headers=self.site.headers, json=body)).json()["id"]
        base = f"/api/v1/devices/{device}"
        self.paths = [f"{base}/shadow", *(f"{base}/shadows/part-{number}" for number in range(1, SHADOWS))]

    async def record(self, *, stop: asyncio.Event) -> None:
        await asyncio.gather(
            *(self._write_on(self.paths[number::CONNECTIONS], stop) for number in range(CONNECTIONS))
        )

    async def _write_on(self, paths: list[str], stop: asyncio.Event) -> None:
        while not stop.is_set():
            for path in paths:
                if not await self._write(path):
                    self.unsure.add(path)
                    await asyncio.sleep(0.02)

    async def _write(self, path: str) -> bool:
        """Write to a shadow, and tell whether it was acknowledged."""
        self.count += 1
        section, key, value = ("desired", "reported")[self.count % 2], f"k{self.count % 7}", self.count
        state = {section: {key: value}}
        place = self.places.setdefault((path, section, key), Place())
        # Until the answer says that it was made.
        place.possible.add(value)
        try:
            answer = await self.site.http.patch(path, headers=self.site.headers, json={"state": state})
        except httpx.TransportError:
            return False
        if answer.status_code in UNAVAILABLE:
            return False
        assert answer.status_code == 200, answer.text
        version = answer.json()["version"]
        known = self.versions.get(path, 0)
        is_free = self.may_skip or path in self.unsure
        assert version == known + 1 or (version > known and is_free), (path, known, version)
        self.unsure.discard(path)
        self.versions[path] = version
        self.made.setdefault(path, {})[version] = state
        place.acknowledge(value)
        self.acknowledged += 1
        return True

    async def check(self, *, lost_since: float | None = None) -> None:
        """Hold every shadow, and its history, against the record.

        Of what was reported since ``lost_since`` any part may be lost; of what was desired, nothing.
        """
        for path in self.paths:
            await self._check_document(path, lost_since)
            await self._check_history(path, lost_since)

    async def _check_document(self, path: str, lost_since: float | None) -> None:
        document = await self._get(path)
        known = self.versions[path]
        if self.may_skip or path in self.unsure or lost_since is not None:
            assert document["version"] >= known
        else:
            assert document["version"] == known
        for (written, section, key), place in self.places.items():
            if written == path:
                found = document["state"].get(section, {}).get(key)
                is_safe = section == "desired"
                assert found in place.expected(lost_since=None if is_safe else lost_since), (path, section, key)

    async def _check_history(self, path: str, lost_since: float | None) -> None:
        """Hold the latest changes against the record: each version is there once, with the patch that made it."""
        items = (await self._get(f"{path}/history?limit=500"))["items"]
        found = {item["version"]: item for item in items}
        assert [item["version"] for item in items] == sorted(found, reverse=True)
        for newer, older in pairwise(items):
            is_step = newer["version"] == older["version"] + 1
            assert is_step or newer["kind"] == "restored" or lost_since is not None, (path, newer, older)
        for version, state in self.made[path].items():
            if version < items[-1]["version"]:
                continue
            if version in found:
                assert found[version]["patch"]["state"] == state, (path, version)
            else:
                assert lost_since is not None, (path, version)
                assert "desired" not in state, (path, version)

    async def show(self) -> dict[str, dict[str, Any]]:
        """Give every shadow as it is, without the time at which it was asked for."""
        documents = {path: await self._get(path) for path in self.paths}
        return {path: document | {"timestamp": None} for path, document in documents.items()}

    async def forget_what_was_lost(self) -> None:
        """Take what is there for what was acknowledged, and go on from there."""
        for path in self.paths:
            document = await self._get(path)
            history = (await self._get(f"{path}/history?limit=500"))["items"]
            found = {item["version"] for item in history}
            self.made[path] = {version: state for version, state in self.made[path].items() if version in found}
            self.versions[path] = document["version"]
            self.unsure.discard(path)
            for (written, section, key), place in self.places.items():
                value = document["state"].get(section, {}).get(key)
                if written == path:
                    place.acknowledged = [] if value is None else [(time.monotonic(), value)]
                    place.possible.clear()

    async def _get(self, path: str) -> dict[str, Any]:
        """Read as a client does that is told to try again shortly."""
        answers: list[httpx.Response] = []

        async def is_answered() -> bool:
            answers.append(await self.site.http.get(path, headers=self.site.headers))
            return answers[-1].status_code not in UNAVAILABLE

        try:
            await eventually(is_answered, within=SHORTLY_SECONDS)
        except AssertionError as error:
            error.add_note(answers[-1].text)
            raise
        assert answers[-1].status_code == 200, answers[-1].text
        document: dict[str, Any] = answers[-1].json()
        return document
