from typing import Any

from redis import exceptions as refusals

from repositories.shadow.keys import REBUILDING
from repositories.shadow.store import READ_SECONDS, ShadowStore

NO_WAITAOF = "no WAITAOF"
BEING_REBUILT = "The store has lost data and is being rebuilt from its journal"
USABLE = "Shadows can be read and written."


class RedisShadowProbe:
    def __init__(self, store: ShadowStore) -> None:
        self._store = store

    async def probe(self) -> str:
        """Give the engine with its version, and in brackets why a crash could cost it writes, if one could.

        The gate is not asked, so that readiness sees the store come back; a success opens it for everybody.

        :raises UnavailableError: it does not answer.
        """
        async with self._store.watch(seconds=READ_SECONDS):
            facts = await self._store.reads.info("server", "persistence")
            risks = [risk for risk in (await self._log_risk(facts), await self._waiting_risk()) if risk]
        name = facts.get("server_name", "redis")
        version = facts.get(f"{name}_version", facts["redis_version"])
        return f"{name} {version}" + (f" ({', '.join(risks)})" if risks else "")

    async def find_remark(self) -> str | None:
        """Tell that the store is being rebuilt, if it is, and how far that is, once it has begun.

        :raises UnavailableError: it does not answer.
        """
        async with self._store.watch(seconds=READ_SECONDS):
            progress: Any = await self._store.reads.get(REBUILDING)
        if progress is None:
            return None
        percent = progress.decode(errors="replace").partition(" ")[2]
        return f"{BEING_REBUILT}{f', of which {percent} % is done' if percent.isdigit() else ''}. {USABLE}"

    async def _log_risk(self, facts: dict[str, Any]) -> str | None:
        if not facts["aof_enabled"]:
            return "append-only file off"
        try:
            settings = await self._store.reads.config_get("appendfsync")
        except refusals.NoPermissionError:
            return None
        policy = settings["appendfsync"]
        return None if policy == "always" else f"appendfsync {policy}"

    async def _waiting_risk(self) -> str | None:
        """Tell whether the server can be asked for what is synced, by asking for nothing."""
        try:
            await self._store.reads.waitaof(0, 0, 0)
        except refusals.ResponseError as error:
            if not str(error).startswith("unknown command"):
                raise
            return NO_WAITAOF
        return None
