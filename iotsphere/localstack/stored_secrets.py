import json
import os
import secrets
import tempfile
from pathlib import Path

from iotsphere.localstack.errors import LocalStackError


def write_atomically(path: Path, text: str) -> None:
    """Replace the file as a whole, readable by its owner alone: a crash leaves the old text or the new."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


class Secrets:
    """The generated passwords and keys of one data folder, kept in its `secrets.json` (mode 0600)."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "secrets.json"

    def get_or_make(self, name: str) -> str:
        """Return the secret of this name, made once of 32 random bytes, URL-safe.

        :raises LocalStackError: the file is there but cannot be understood.
        """
        known = self._read()
        if name not in known:
            known[name] = secrets.token_urlsafe(32)
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(self._path, json.dumps(known, indent=2, sort_keys=True) + "\n")
        return known[name]

    def find(self, name: str) -> str | None:
        """Return the secret of this name if it was made already.

        :raises LocalStackError: the file is there but cannot be understood.
        """
        return self._read().get(name)

    def _read(self) -> dict[str, str]:
        try:
            known = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError:
            known = None
        if not isinstance(known, dict) or not all(isinstance(value, str) for value in known.values()):
            raise LocalStackError(f"{self._path} is damaged; put a good copy back, the databases need its passwords")
        return known
