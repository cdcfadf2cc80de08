import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec
from redis import exceptions as refusals

from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.latest import fits
from iotsphere.telemetry.ports import LatestLease, Marking
from repositories.availability import StoreGate
from repositories.latest.scripts import LatestScript
from repositories.redis import RedisReach, create_redis_client
from repositories.redis_line import RedisLine

# What a request, or a commit, waits at the most before it goes on without.
ANSWER_SECONDS = 0.2
PREFIX = "iotsphere:latest:"


class RedisLatestStore:
    """Latest values as db/shadow/keyspace.md describes them.

    The gate is one of its own, for this is not waited for as long as a shadow is. Whatever Redis refuses, such as a
    right that the account has not got, counts as an outage: the database knows as well.
    """

    def __init__(
        self, url: str, gate: StoreGate, *, new_token: Callable[[], str], answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        self._reach = RedisReach(gate)
        self._gate = gate
        self._new_token = new_token
        self._seconds = answer_seconds
        self._client = create_redis_client(
            url, retries=0, answer_seconds=answer_seconds, connect_seconds=answer_seconds
        )
        # Apart, for a server that syncs its log at every write answers writes later.
        self._reading = RedisLine(url, seconds=answer_seconds, repeats=True)
        self._writing = RedisLine(url, seconds=answer_seconds, repeats=False)
        self._digests: Mapping[LatestScript, str] = {}
        self._looking = asyncio.Lock()

    async def find(
        self, device_id: DeviceId, metrics: Collection[str] | None, *, epoch: int
    ) -> str | LatestLease | None:
        token = self._new_token()
        values = [epoch, token, *(metrics or ())]
        answer = await self._ask(self._reading, LatestScript.FIND, [device_id], values)
        if isinstance(answer, bytes):
            return answer.decode()
        return LatestLease(device_id, token, epoch) if answer else None

    async def fill(self, lease: LatestLease, values: Mapping[str, str] | None) -> None:
        given = [lease.token, lease.epoch, _packed(values)]
        await self._ask(self._writing, LatestScript.FILL, [lease.device_id], given)

    async def mark(self, device_ids: Collection[DeviceId]) -> Marking:
        token, asked = self._new_token(), list(device_ids)
        kept = await self._ask(self._writing, LatestScript.MARK, asked, [token])
        return Marking(token, [asked[place - 1] for place in kept])

    async def settle(
        self, marking: Marking, values: Mapping[DeviceId, Mapping[str, str]] | None, *, replaces: bool
    ) -> None:
        packed = [_packed(None if values is None else values.get(device_id, {})) for device_id in marking.device_ids]
        given = [marking.token, int(replaces), *packed]
        await self._ask(self._writing, LatestScript.SETTLE, list(marking.device_ids), given)

    async def _ask(
        self, line: RedisLine, script: LatestScript, device_ids: Sequence[DeviceId], values: Sequence[Any]
    ) -> Any:
        """:raises UnavailableError: there was no answer in time, or none that is of use."""
        self._gate.enter()
        call = (len(device_ids), *[f"{PREFIX}{device_id}" for device_id in device_ids], *values)
        try:
            digests = self._digests or await self._look(self._digests)
            try:
                answer = await line.ask("EVALSHA", digests[script], *call)
            except refusals.NoScriptError:
                # Another run of the server: what is kept there of an earlier one is not believed.
                digests = await self._look(digests)
                answer = await line.ask("EVALSHA", digests[script], *call)
        except (OSError, refusals.RedisError) as error:
            told = self._reach.tell(error)
            raise (told if isinstance(told, UnavailableError) else self._gate.failed()) from error
        self._gate.succeeded()
        return answer

    async def _look(self, known: Mapping[LatestScript, str]) -> Mapping[LatestScript, str]:
        """Load the scripts into the present run of the server, unless somebody has done so since ``known``."""
        async with self._looking:
            if self._digests is not known:
                return self._digests
            # A client of one connection, which is never made anew: the run that is named is the one that is loaded.
            async with asyncio.timeout(self._seconds), self._client.client() as connection:
                run = str((await connection.info("server"))["run_id"])
                for script in LatestScript:
                    await connection.script_load(script.text(run))
            self._digests = {script: script.digest(run) for script in LatestScript}
            return self._digests

    async def close(self) -> None:
        for line in (self._reading, self._writing):
            await line.close()
        await self._client.aclose()


def _packed(values: Mapping[str, str] | None) -> bytes:
    return b"" if values is None or not fits(values) else msgspec.msgpack.encode(values)
