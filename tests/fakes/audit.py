import builtins
import re
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from iotsphere.audit.model import AuditFilter, AuditRecord, AuditScope, ChainHead, Waiting
from iotsphere.kernel.audit import AuditEntry
from iotsphere.kernel.pagination import Page, decode_cursor, encode_cursor


class InMemoryAuditTrail:
    def __init__(self, stored: dict[UUID, AuditEntry], places: dict[UUID, ChainHead]) -> None:
        self._stored = stored
        self._places = places

    async def add(self, *entries: AuditEntry) -> None:
        self._stored.update({entry.id: entry for entry in entries})

    async def list(
        self, scope: AuditScope, narrowed_to: AuditFilter, *, limit: int, cursor: str | None
    ) -> Page[AuditRecord]:
        last = decode_cursor(cursor, tuple[datetime, UUID]) if cursor is not None else None
        found = [
            AuditRecord(entry, self._places.get(entry.id))
            for entry in sorted(self._stored.values(), key=_order)
            if _is_in_scope(entry, scope)
            and _is_within(entry, narrowed_to)
            and (last is None or _order(entry) > last)
        ]
        more = len(found) > limit
        return Page(found[:limit], encode_cursor(*_order(found[limit - 1].entry)) if more else None)

    async def find_head(self, *, for_sealing: bool = False) -> ChainHead | None:
        return max(self._places.values(), key=lambda place: place.position, default=None)

    async def find_place(self, position: int) -> ChainHead | None:
        return next((place for place in self._places.values() if place.position == position), None)

    async def list_unsealed(self, *, limit: int) -> builtins.list[AuditEntry]:
        return self._unsealed()[:limit]

    async def list_sealed(self, *, after: int | None, limit: int) -> builtins.list[AuditRecord]:
        order = sorted(self._places.items(), key=lambda item: item[1].position)
        found = [
            AuditRecord(self._stored[entry_id], place)
            for entry_id, place in order
            if after is None or place.position > after
        ]
        return found[:limit]

    async def save_places(self, records: Iterable[AuditRecord]) -> None:
        self._places.update({record.entry.id: record.place for record in records if record.place is not None})

    async def count_unsealed(self) -> Waiting:
        waiting = self._unsealed()
        return Waiting(len(waiting), waiting[0].at if waiting else None)

    def _unsealed(self) -> builtins.list[AuditEntry]:
        return sorted((entry for entry in self._stored.values() if entry.id not in self._places), key=_order)


def _order(entry: AuditEntry) -> tuple[datetime, UUID]:
    return entry.at, entry.id


def _is_in_scope(entry: AuditEntry, scope: AuditScope) -> bool:
    return entry.organisation_id == scope.organisation_id or (scope.with_unowned and entry.organisation_id is None)


def _is_within(entry: AuditEntry, to: AuditFilter) -> bool:
    return (
        _names(entry.actor, to.actor)
        and _names(entry.target, to.target)
        and to.action in {None, entry.action}
        and to.outcome in {None, entry.outcome}
        and to.correlation_id in {None, entry.correlation_id}
        and (to.start is None or to.start <= entry.at)
        and (to.end is None or entry.at < to.end)
    )


def _names(text: str | None, given: str | None) -> bool:
    if given is None or text is None:
        return given is None
    return given == text if ":" in given else given == re.sub("^[^:]*:", "", text)
