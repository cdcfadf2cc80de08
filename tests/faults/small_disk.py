"""A disk that a test can fill and clear."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import pytest

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class SmallDisk:
    path: Path

    @property
    def ballast(self) -> Path:
        return self.path / "ballast"

    def fill(self) -> None:
        """Take all the room that is left."""
        with self.ballast.open("ab", buffering=0) as ballast:
            for size in (MEBIBYTE, 4096):
                try:
                    while True:
                        ballast.write(b"\0" * size)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def clear(self) -> None:
        self.ballast.unlink()


@contextmanager
def small_disk(mebibytes: int) -> Iterator[SmallDisk]:
    """Mount a disk of this size, for which one has to be root; where CI runs, that has to be possible."""
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    # Paths of sockets, which are below it, have to be short.
    path = Path(mkdtemp(prefix="isd-"))
    path.chmod(0o755)
    options = f"size={mebibytes}m,mode=755,uid={os.geteuid()}"
    mounted = subprocess.run(
        [*as_root, "mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=False, capture_output=True
    )
    if mounted.returncode and "CI" not in os.environ:
        path.rmdir()
        pytest.skip(f"No disk can be mounted here: {mounted.stderr.decode().strip()}")
    assert mounted.returncode == 0, mounted.stderr
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run([*as_root, "umount", path], check=True)
        path.rmdir()
