"""The names of all keys of the shadow store; db/shadow/keyspace.md says what they hold."""

from uuid import UUID

from iotsphere.kernel.errors import RuleViolationError
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow.model import ShadowKey

PREFIX = "iotsphere:shadow:"
GENERATION = f"{PREFIX}generation"
REBUILDING = f"{PREFIX}rebuilding"
CONFIRMED = f"{PREFIX}confirmed"
RUN = f"{PREFIX}run"
CHANGES = f"{PREFIX}changes"
BACKLOG_BYTES = f"{PREFIX}backlog_bytes"
UNREADABLE = f"{PREFIX}unreadable"
DOCUMENTS = f"{PREFIX}document:"


def document_key(key: ShadowKey) -> str:
    own = f"{DOCUMENTS}{key.device_id}"
    return own if key.name is None else f"{own}:{key.name}"


def read_document_key(text: str) -> ShadowKey | None:
    """Undo ``document_key``; None if it has made no such text."""
    device_id, colon, name = text.removeprefix(DOCUMENTS).partition(":")
    try:
        key = ShadowKey(DeviceId(UUID(device_id)), name if colon else None)
    except (ValueError, RuleViolationError):
        return None
    return key if document_key(key) == text else None


def names_key(device_id: DeviceId) -> str:
    return f"{PREFIX}names:{device_id}"


def writer_key(writer_id: UUID) -> str:
    return f"{PREFIX}writer:{writer_id}"
