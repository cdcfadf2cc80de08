"""The chain of seals: each is a keyed hash of the seal before it and of everything that its entry says.

Whoever can write to the database and does not have the platform's secret key can change no sealed entry, take none
out, put none in and exchange no two without a seal that no longer fits.
"""

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from iotsphere.audit.model import AuditRecord, ChainFault, ChainFaultKind, ChainHead, ChainReport
from iotsphere.kernel.audit import AuditEntry
from iotsphere.kernel.times import format_time

BEGINNING = ChainHead(0, bytes(hashlib.sha256().digest_size))
FAULTS_TO_NAME = 10


def seal_key(secret_key: str) -> bytes:
    """Derive the key of the seals, which is thereby no use for anything else that the secret key protects."""
    return hmac.digest(secret_key.encode(), b"iotsphere audit seal", "sha256")


def canonical(entry: AuditEntry, position: int) -> bytes:
    """Write all that an entry says, and where it stands, in the one way in which it can be written."""
    said = (
        position,
        str(entry.id),
        format_time(entry.at),
        str(entry.organisation_id) if entry.organisation_id else None,
        entry.actor,
        entry.action,
        entry.target,
        entry.address,
        entry.correlation_id,
        entry.outcome.value,
        entry.code,
        entry.details,
    )
    return msgspec.json.encode(said, order="sorted")


def _seal(key: bytes, previous: bytes, entry: AuditEntry, position: int) -> bytes:
    return hmac.digest(key, previous + canonical(entry, position), "sha256")


def seal(key: bytes, head: ChainHead | None, entries: Iterable[AuditEntry]) -> Iterator[AuditRecord]:
    """Give the entries, in their order, the places behind the head."""
    last = head or BEGINNING
    for entry in entries:
        position = last.position + 1
        last = ChainHead(position, _seal(key, last.seal, entry, position))
        yield AuditRecord(entry, last)


class ChainWalk:
    """Follows the chain from its beginning, with no more memory for a long one than for a short one.

    :param keys: the key of the seals, and before it those that it has replaced, the oldest first. Where a later key
        has been used an earlier one is not taken any more: who has stolen a replaced key cannot seal with it again.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = list(keys)
        self._last = BEGINNING
        self.report = ChainReport()

    def step(self, record: AuditRecord) -> None:
        """Look at the next entry in the order of positions.

        What follows a fault is looked at by the seals that are there, so that each fault is told by itself.
        """
        assert record.place is not None  # noqa: S101  # only sealed entries are walked along
        place, expected = record.place, self._last.position + 1
        self.report.sealed += 1
        if place.position < expected:
            # There is no such place: it stands before the beginning, or at one that has been passed.
            self._tell(ChainFaultKind.ALTERED, place.position, place.position, record)
            return
        if place.position > expected:
            self._tell(ChainFaultKind.MISSING, expected, place.position - 1)
        elif not self._fits(record.entry, place):
            self._tell(ChainFaultKind.ALTERED, place.position, place.position, record)
        self.report.head = self._last = place

    def _fits(self, entry: AuditEntry, place: ChainHead) -> bool:
        for age, key in enumerate(self._keys):
            if hmac.compare_digest(place.seal, _seal(key, self._last.seal, entry, place.position)):
                del self._keys[:age]
                return True
        return False

    def _tell(self, kind: ChainFaultKind, first: int, last: int, record: AuditRecord | None = None) -> None:
        self.report.fault_count += 1
        if len(self.report.faults) < FAULTS_TO_NAME:
            self.report.faults.append(ChainFault(kind, first, last, record.entry.id if record else None))
