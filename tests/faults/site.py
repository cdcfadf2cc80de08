"""A device on the running application, and what a client does with it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

import httpx

from tests.faults.deployment import EMAIL, PASSWORD

# Starting takes long where others keep the machine busy.
START_SECONDS = 180.0
Call = Callable[[], Awaitable[httpx.Response]]


async def eventually(check: Callable[[], Awaitable[bool]], *, within: float) -> None:
    deadline = time.monotonic() + within
    while not await check():
        assert time.monotonic() < deadline, f"not within {within} s"
        await asyncio.sleep(0.05)


async def status_of_readiness(http: httpx.AsyncClient) -> dict[str, str]:
    stores = (await http.get("/health/ready")).json()["stores"]
    return {store: condition["status"] for store, condition in stores.items()}


class Site:
    """A device on the running application, and a call for each store that needs that store (and the registry)."""

    def __init__(self, http: httpx.AsyncClient, *, token: str, device: str) -> None:
        self.http = http
        headers = {"Authorization": f"Bearer {token}"}
        path = f"/api/v1/devices/{device}"
        reading = {"values": {"temperature": 20}}
        self.calls: dict[str, Call] = {
            "registry": lambda: http.get(path, headers=headers),
            "assets": lambda: http.get(f"{path}/asset", headers=headers),
            "telemetry": lambda: http.post(f"{path}/telemetry", headers=headers, json=reading),
            "shadow": lambda: http.patch(
                f"{path}/shadow", headers=headers, json={"state": {"reported": {"on": True}}}
            ),
        }
        self.headers = headers
        self.history = f"{path}/shadow/history"

    async def register(self) -> httpx.Response:
        body = {"serial_number": uuid4().hex, "device_type": "pump"}
        return await self.http.post("/api/v1/devices", headers=self.headers, json=body)


async def open_site(http: httpx.AsyncClient) -> Site:
    async def is_ready() -> bool:
        try:
            return (await http.get("/health/ready")).status_code == 200
        except httpx.TransportError:
            return False

    await eventually(is_ready, within=START_SECONDS)
    answer = await http.post("/api/v1/auth/token", json={"email": EMAIL, "password": PASSWORD})
    token = answer.json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    body = {"serial_number": uuid4().hex, "device_type": "pump"}
    device = (await http.post("/api/v1/devices", headers=headers, json=body)).json()
    return Site(http, token=token, device=device["id"])
