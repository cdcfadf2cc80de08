"""What befell machines, written into the platform's maintenance log."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from iotsphere.cli.client import ATTEMPTS, PlatformClient
from iotsphere.kernel.times import MICROSECOND, format_time


@dataclass(frozen=True, slots=True)
class LogEntry:
    """Without a component it befell the whole machine."""

    kind: str
    at: datetime
    component: str | None = None


class Logbook:
    """Writes every entry once, however often a command is repeated. ``written`` counts the new ones."""

    def __init__(self, platform: PlatformClient, *, attempts: int = ATTEMPTS) -> None:
        self.written = 0
        self._platform = platform
        self._attempts = attempts

    async def write(self, device_id: str, entries: Sequence[LogEntry]) -> None:
        """Write into the log of a device what is not in it yet; there is at least one entry.

        :raises PlatformError: the platform refused; those before it are written.
        """
        times = [entry.at for entry in entries]
        known = await self._platform.list_maintenance(
            device_id, start=min(times), end=max(times) + MICROSECOND, attempts=self._attempts
        )
        there = {(event["kind"], event["occurred_at"], event.get("component")) for event in known}
        for entry in entries:
            occurred_at = format_time(entry.at)
            if (entry.kind, occurred_at, entry.component) in there:
                continue
            body = {"kind": entry.kind, "occurred_at": occurred_at}
            named = {} if entry.component is None else {"component": entry.component}
            await self._platform.record_maintenance(device_id, body | named, attempts=self._attempts)
            self.written += 1
