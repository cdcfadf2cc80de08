from collections.abc import Iterator
from typing import Any

from redis import exceptions as refusals

from iotsphere.kernel.findings import Finding
from repositories.shadow.probe import NO_WAITAOF, RedisShadowProbe
from repositories.shadow.store import READ_SECONDS, ShadowStore

STORE = "shadow"


class RedisShadowExaminer:
    """Looks at the server that keeps the shadows, and at what its account may do there."""

    def __init__(self, store: ShadowStore) -> None:
        self._store = store

    async def examine(self) -> list[Finding]:
        """:raises UnavailableError: the server does not answer."""
        engine = await RedisShadowProbe(self._store).probe()
        async with self._store.watch(seconds=READ_SECONDS):
            facts = await self._store.reads.info("persistence", "memory", "replication")
            is_administrator = await self._is_administrator()
            is_confined = await self._is_confined()
        return [
            Finding(STORE, "answers", is_well=True, detail=engine),
            *_settings_findings(engine, facts),
            _role_finding(is_administrator=is_administrator, is_confined=is_confined),
        ]

    async def _is_administrator(self) -> bool:
        try:
            await self._store.reads.acl_list()
        except refusals.NoPermissionError:
            return False
        return True

    async def _is_confined(self) -> bool:
        """Tell whether the account sees no key but the platform's."""
        try:
            await self._store.reads.exists("not-of-iotsphere")
        except refusals.NoPermissionError:
            return True
        return False


def _settings_findings(engine: str, facts: dict[str, Any]) -> Iterator[Finding]:
    risks = [risk for risk in engine.partition("(")[2].rstrip(")").split(", ") if risk]
    if NO_WAITAOF in risks:
        risks.remove(NO_WAITAOF)
        yield _bad("waitaof", "The server cannot be asked whether a change is on its disk, and is taken at its word.")
    if risks:
        yield _bad("durability", f"A crash can cost writes: {', '.join(risks)}.")
    elif facts.get("aof_last_write_status", "ok") != "ok":
        yield _bad("durability", "The append-only file could not be written. Is the disk full?")
    else:
        yield Finding(STORE, "durability", is_well=True, detail="append-only file on, its last write was good")
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield _bad("eviction", f"Shadows may be thrown away when memory is short: maxmemory-policy is {policy}.")
    if facts.get("role", "master") != "master":
        yield _bad("writing", "The server is a replica and takes no writes.")


def _role_finding(*, is_administrator: bool, is_confined: bool) -> Finding:
    if is_administrator:
        return _bad("role", "The account may administer the server: give the platform one of its own.")
    if not is_confined:
        return _bad("role", "The account sees keys that are not the platform's: confine it to ~iotsphere:*.")
    return Finding(STORE, "role", is_well=True, detail="an ordinary account, confined to the platform's keys")


def _bad(check: str, detail: str) -> Finding:
    return Finding(STORE, check, is_well=False, detail=detail)
