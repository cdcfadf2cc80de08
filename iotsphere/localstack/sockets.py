import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from iotsphere.localstack.account import Account

PREFIX = "iotsphere-"
# The kernel takes socket paths of 107 bytes (103 on macOS), and `/.s.PGSQL.5432.lock` is put after the folder's.
LONGEST_FOLDER = 80


@contextmanager
def private_socket_folder(link: Path, account: Account) -> Iterator[Path]:
    """Make a folder with a short path that only the account can enter; `link` names it, and it ends with the block.

    What a killed run has left behind under the same link is removed first.
    """
    _remove(link, account)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    if len(os.fsencode(folder)) > LONGEST_FOLDER:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))
    account.give(folder)
    link.symlink_to(folder)
    try:
        yield folder
    finally:
        _remove(link, account)


def _remove(link: Path, account: Account) -> None:
    if not link.is_symlink():
        return
    folder = link.readlink()
    # In a shared temporary folder the name could by now be somebody else's.
    if folder.is_dir() and folder.name.startswith(PREFIX) and folder.stat().st_uid == account.uid:
        shutil.rmtree(folder, ignore_errors=True)
    link.unlink()
