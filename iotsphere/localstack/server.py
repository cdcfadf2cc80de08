import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import IO, Any

from iotsphere.localstack.errors import LocalStackError
from iotsphere.localstack.processes import Process, Surroundings, has_ended, kill, telling_lines

READY_POLL_SECONDS = 0.04


class Server:
    """One running database server: a direct child of ours, with its log file."""

    def __init__(self, name: str, process: Process, log_path: Path) -> None:
        self.name = name
        self.process = process
        self._log_path = log_path

    @classmethod
    def launch(
        cls,
        command: Sequence[str | Path],
        *,
        surroundings: Surroundings,
        log_path: Path,
        stdin: IO[Any] | None = None,
    ) -> "Server":
        with log_path.open("ab") as log:
            process = surroundings.spawn(command, output=log, stdin=stdin)
        return cls(Path(command[0]).name, process, log_path)

    async def until_ready(self, answers: Callable[[], Awaitable[bool]], *, timeout_seconds: float) -> None:
        """Wait until a real client got an answer.

        :raises LocalStackError: the server died, or was not ready in time.
        """
        deadline = time.monotonic() + timeout_seconds
        while not await answers():
            if self.process.poll() is not None:
                raise LocalStackError(
                    f"{self.name} ended before it was ready: {self.last_words()} (see {self._log_path})"
                )
            if time.monotonic() > deadline:
                raise LocalStackError(
                    f"{self.name} did not answer within {timeout_seconds:.0f} s: {self.last_words()} "
                    f"(see {self._log_path})"
                )
            await asyncio.sleep(READY_POLL_SECONDS)

    async def stop(self, stop_signal: signal.Signals, *, timeout_seconds: float) -> None:
        """Ask the server to end in good order; one that has not by the deadline is killed."""
        try:
            self.process.send_signal(stop_signal)
            await has_ended(self.process, timeout_seconds)
        finally:
            kill(self.process)

    def last_words(self) -> str:
        with self._log_path.open("rb") as log:
            log.seek(max(0, self._log_path.stat().st_size - 4096))
            return telling_lines(log.read().decode(errors="replace"))[-1]
