"""Child processes that end when we end, and never outlast the wait for them."""

import asyncio
import ctypes
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from iotsphere.localstack.account import Account
from iotsphere.localstack.data_folder import OpenFolder
from iotsphere.localstack.errors import LocalStackError

SERVER_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"}
POLL_SECONDS = 0.01
PR_SET_PDEATHSIG = 1
# Looked up before any fork: the child of a process with threads must not import or take a lock before its exec.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Surroundings:
    """What a child gets: the account it runs as, the descriptors it inherits, where it stands, how it ends with us.

    `bare` gives it none of our environment, whose PG... settings are not meant for our servers.
    """

    account: Account
    bare: bool = True
    descriptors: tuple[int, ...] = ()
    cwd: Path = Path("/")
    death_signal: signal.Signals = signal.SIGKILL
    environment: Mapping[str, str] | None = None

    def with_folders(self, *folders: OpenFolder) -> "Surroundings":
        """Let the child inherit these folders too."""
        return replace(self, descriptors=(*self.descriptors, *(folder.descriptor for folder in folders)))

    def spawn(self, command: Sequence[str | Path], *, output: IO[Any], stdin: IO[Any] | None = None) -> Process:
        """Start the command in a session of its own, out of reach of the terminal's Ctrl-C.

        Call it in a thread that outlives the child: Linux sends the death signal when the *thread* ends.
        """
        try:
            return self._spawn(command, output, stdin)
        except PermissionError:
            raise LocalStackError(
                f"{self.account.name} may not run {command[0]}; choose a cache folder that this account can reach, "
                "on a file system that allows programs"
            ) from None

    def _spawn(self, command: Sequence[str | Path], output: IO[Any], stdin: IO[Any] | None) -> Process:
        parent = os.getpid()
        other = self.account if self.account.switch else None
        return subprocess.Popen(  # noqa: S603 - the commands are our own constants and files of our own cache
            command,
            stdin=stdin or subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=self.cwd,
            env=self.environment or (SERVER_ENVIRONMENT if self.bare else None),
            user=other.uid if other else None,
            group=other.gid if other else None,
            extra_groups=[] if other else None,
            pass_fds=self.descriptors,
            start_new_session=True,
            # It runs after the change of user, which makes the kernel forget the signal.
            preexec_fn=lambda: _die_with(parent, self.death_signal),  # noqa: PLW1509
        )


def _die_with(parent: int, death_signal: int) -> None:
    if _prctl is not None:
        _prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:
            os._exit(1)


# A tool such as apt runs as we do, and takes its proxies from our environment.
OUR_OWN = Surroundings(Account("this account", os.geteuid(), os.getegid(), switch=False), bare=False)


async def run(
    command: Sequence[str | Path],
    *,
    timeout_seconds: float,
    surroundings: Surroundings = OUR_OWN,
    watch: Callable[[str], None] = lambda _: None,
) -> str:
    """Run a command to its end and return what it wrote.

    `watch` is shown the output's latest part from time to time. Whoever cancels the wait kills the command.

    :raises LocalStackError: it failed or took too long; the sentence ends in the first error that it wrote.
    """
    name = Path(command[0]).name
    with tempfile.TemporaryFile() as output:
        process = surroundings.spawn(command, output=output)
        try:
            ended = await has_ended(process, timeout_seconds, lambda: watch(_tail(output)))
        finally:
            kill(process)
        text = _tail(output, size=1_000_000)
    if not ended:
        raise LocalStackError(f"{name} had not finished after {timeout_seconds:.0f} s")
    if process.returncode != 0:
        raise LocalStackError(f"{name} failed: {telling_lines(text)[0]}")
    return text


async def has_ended(process: Process, timeout_seconds: float, tick: Callable[[], None] = lambda: None) -> bool:
    """Wait for the end of a process, in any event loop and without a thread to be left behind."""
    deadline = time.monotonic() + timeout_seconds
    while process.poll() is None:
        if time.monotonic() > deadline:
            return False
        tick()
        await asyncio.sleep(POLL_SECONDS)
    return True


def kill(process: Process) -> None:
    """Kill the process with its whole session, and reap it. One that has ended already is left alone."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def telling_lines(text: str) -> list[str]:
    """Return the lines that speak of an error, or for want of any the last one; never nothing."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\berror:|\bFATAL\b|^E: ", line)]
    return errors or lines[-1:] or ["it wrote nothing"]


def _tail(file: IO[bytes], size: int = 4096) -> str:
    # pread leaves the offset alone, which the child shares.
    length = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, max(0, length - size)).decode(errors="replace")
