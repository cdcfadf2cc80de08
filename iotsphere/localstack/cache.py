"""The folder of server programs: filled once for each user of a machine, used by every data folder."""

import asyncio
import os
import pwd
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from iotsphere.localstack.data_folder import exclusive_lock
from iotsphere.localstack.errors import LocalStackError

FILL_WAIT_SECONDS = 900.0


def default_cache_dir() -> Path:
    """Return ~/.cache/iotsphere, or for root a place that the servers' unprivileged account reaches too.

    :raises LocalStackError: our account has no home to keep it in.
    """
    if os.geteuid() == 0:
        return Path("/var/cache/iotsphere")
    try:
        home = pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        raise LocalStackError(
            f"user id {os.geteuid()} has no home folder for the cache; name a cache folder"
        ) from None
    return Path(home, ".cache", "iotsphere")


async def filled_once(folder: Path, fill: Callable[[Path], Awaitable[None]]) -> Path:
    """Return the folder complete; it is filled next to its place and moved there whole.

    An interrupted fill leaves nothing that passes for complete, and of several at once one does the work.
    """
    if not _is_complete(folder):
        _make_cache(folder.parent)
        refusal = f"another process has been filling {folder} for {FILL_WAIT_SECONDS:.0f} s; end it and start again"
        lock = folder.parent / f".{folder.name}.lock"
        async with exclusive_lock(lock, wait_seconds=FILL_WAIT_SECONDS, refusal=refusal):
            if not _is_complete(folder):
                await _fill(folder, fill)
    return folder


def _make_cache(cache_dir: Path) -> None:
    if not cache_dir.exists():
        cache_dir.mkdir(parents=True, exist_ok=True)
        # Root's strict umask must not shut out the account that the servers run as.
        cache_dir.chmod(0o755)


async def _fill(folder: Path, fill: Callable[[Path], Awaitable[None]]) -> None:
    draft = _make_draft(folder)
    try:
        await fill(draft)
        await asyncio.to_thread(_put_in_place, draft, folder)
    finally:
        await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)


def _make_draft(folder: Path) -> Path:
    prefix = f".{folder.name}-"
    for left_behind in folder.parent.glob(f"{prefix}*"):
        shutil.rmtree(left_behind)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=prefix))
    draft.chmod(0o755)
    return draft


def _put_in_place(draft: Path, folder: Path) -> None:
    _marker(draft).write_text(str(folder), encoding="utf-8")
    if folder.exists():
        shutil.rmtree(folder)
    draft.rename(folder)


def _marker(folder: Path) -> Path:
    return folder / "COMPLETE"


def _is_complete(folder: Path) -> bool:
    # The programs name their loader by its absolute path: a cache that was moved is not complete.
    try:
        return _marker(folder).read_text(encoding="utf-8") == str(folder)
    except FileNotFoundError:
        return False
