import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from iotsphere.localstack.errors import LocalStackError

UNPRIVILEGED_ACCOUNTS = ("nobody", "daemon", "postgres")


@dataclass(frozen=True)
class Account:
    """The system account that servers run as. `switch` says that it is not the one we are ourselves."""

    name: str
    uid: int
    gid: int
    switch: bool

    def give(self, path: Path) -> None:
        """Make the account owner of a file or folder that was just created."""
        if self.switch:
            os.chown(path, self.uid, self.gid)


def server_account() -> Account:
    """Return our own account, or for root, whom PostgreSQL refuses to serve, an unprivileged one.

    :raises LocalStackError: the system knows no account to run servers as.
    """
    if os.geteuid() != 0:
        return _own_account()
    for name in UNPRIVILEGED_ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid, switch=True)
    raise LocalStackError(
        f"root may not run PostgreSQL and none of the accounts {', '.join(UNPRIVILEGED_ACCOUNTS)} exists; "
        "start this as an ordinary user"
    )


def _own_account() -> Account:
    try:
        entry = pwd.getpwuid(os.geteuid())
    except KeyError:
        raise LocalStackError(
            f"user id {os.geteuid()} has no entry in the system's account list, which PostgreSQL asks for; "
            "start this as a named user"
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, switch=False)
