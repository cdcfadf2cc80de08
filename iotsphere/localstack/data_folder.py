"""The folder that keeps everything of one stack: who may use it, what layout it has, how a server gets into it."""

import asyncio
import fcntl
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from iotsphere.localstack.account import Account
from iotsphere.localstack.errors import LocalStackError
from iotsphere.localstack.stored_secrets import write_atomically

LAYOUT = 1
ORPHAN_WAIT_SECONDS = 10.0
LOG_LIMIT_BYTES = 10_000_000


@dataclass(frozen=True)
class OpenFolder:
    """A folder, and a descriptor of it for a server to inherit.

    On Linux the server reaches the folder through the descriptor, whatever the rights of the folders above:
    root's data may lie in a folder that the server's account cannot cross, and those rights stay as they are.
    """

    path: Path
    descriptor: int

    @property
    def inherited_path(self) -> str:
        return f"/proc/self/fd/{self.descriptor}" if sys.platform == "linux" else str(self.path)


@contextmanager
def open_folder(path: Path) -> Iterator[OpenFolder]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield OpenFolder(path, descriptor)
    finally:
        os.close(descriptor)


@asynccontextmanager
async def exclusive_lock(path: Path, *, wait_seconds: float, refusal: str) -> AsyncIterator[int]:
    """Hold the lock file; the yielded descriptor keeps the lock as long as anyone who inherited it lives."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + wait_seconds
    try:
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise LocalStackError(refusal)
            await asyncio.sleep(0.05)
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class DataFolder:
    """One stack's data on disk: VERSION, secrets.json, postgres/, shadow/, log/ and two lock files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @asynccontextmanager
    async def held(self) -> AsyncIterator[int]:
        """Make the folder ours alone, and yield the lock descriptor that every server must inherit.

        There are two locks: `lock` ends with this process, `servers.lock` when the last server has ended too,
        so that servers which outlive a killed supervisor are waited for, never joined by a second set.

        :raises LocalStackError: somebody else uses it, it is of a newer layout, or it is no folder.
        """
        self._make()
        self._check_layout()
        async with (
            exclusive_lock(
                self.path / "lock",
                wait_seconds=0,
                refusal=f"another IoTSphere is running on {self.path}; stop it, or choose another data folder",
            ),
            exclusive_lock(
                self.path / "servers.lock",
                wait_seconds=ORPHAN_WAIT_SECONDS,
                refusal=f"servers of an earlier run still use {self.path}; end its postgres and valkey-server first",
            ) as servers_lock,
        ):
            yield servers_lock

    def _make(self) -> None:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise LocalStackError(f"{self.path} is not a folder; choose another data folder") from None
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise LocalStackError(f"{self.path} may not be written; correct its rights or choose another data folder")

    def version(self) -> tuple[int, int | None]:
        """Return the layout, and the PostgreSQL major version that the databases were made by, if any were."""
        try:
            words = (self.path / "VERSION").read_text(encoding="ascii").split()
        except FileNotFoundError:
            return LAYOUT, None
        except UnicodeDecodeError:
            words = []
        if not words or not all(word.isdecimal() for word in words):
            raise LocalStackError(f"{self.path / 'VERSION'} is damaged; choose another data folder or restore a copy")
        has_databases = len(words) > 1 and (self.path / "postgres").exists()
        return int(words[0]), int(words[1]) if has_databases else None

    def _check_layout(self) -> None:
        layout, _ = self.version()
        if layout != LAYOUT:
            raise LocalStackError(
                f"{self.path} has layout {layout} and this IoTSphere knows layout {LAYOUT} only; "
                "update IoTSphere or choose another data folder"
            )

    def record_version(self, postgres_major: int) -> None:
        write_atomically(self.path / "VERSION", f"{LAYOUT} {postgres_major}\n")

    @contextmanager
    def new_server_folder(self, name: str, account: Account) -> Iterator[Path]:
        """Yield an empty folder of the server's account, which takes its name and place when the block succeeds."""
        draft = self.path / f"{name}.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        account.give(draft)
        try:
            yield draft
            draft.rename(self.path / name)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def server_folder(self, name: str, account: Account) -> Path | None:
        """Return the sub-folder if it is there.

        :raises LocalStackError: it was made for servers of another account.
        """
        path = self.path / name
        if not path.exists():
            return None
        if path.stat().st_uid != account.uid:
            raise LocalStackError(
                f"{path} belongs to user id {path.stat().st_uid} and the servers would run as {account.name}; "
                "start this as the user who made the folder"
            )
        return path

    def log_path(self, name: str) -> Path:
        """Return the path of a process's log file; one that has grown large becomes its only predecessor."""
        folder = self.path / "log"
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / f"{name}.log"
        if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
            path.replace(folder / f"{name}.log.1")
        return path
