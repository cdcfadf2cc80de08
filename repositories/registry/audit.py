"""The audit trail in PostgreSQL, which itself refuses to change or remove an entry."""

import builtins
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.audit.model import AuditFilter, AuditRecord, AuditScope, ChainHead, Waiting
from iotsphere.kernel.audit import AuditEntry, AuditOutcome
from iotsphere.kernel.identifiers import OrganisationId
from iotsphere.kernel.pagination import Page, decode_cursor, encode_cursor
from repositories.registry.tables import ID_OF_ACTOR, ID_OF_TARGET, audit_entries

# Any number will do, as long as every process that seals takes the same one.
SEALING_LOCK = 4_072_027
TRAIL_GUARDS = ("audit_entry_changed", "audit_entry_removed", "audit_trail_emptied")
"""The triggers that keep the trail append-only."""
entries = audit_entries.c
LOCK = sa.select(sa.func.pg_advisory_xact_lock(SEALING_LOCK))
SAVE_PLACES = sa.text("""
UPDATE audit_entries SET position = given.position, seal = given.seal
FROM unnest(CAST(:ids AS uuid[]), CAST(:positions AS bigint[]), CAST(:seals AS bytea[])) AS given (id, position, seal)
WHERE audit_entries.id = given.id
""")


class SqlAlchemyAuditTrail:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, *entries: AuditEntry) -> None:
        await self._connection.execute(sa.insert(audit_entries), [_entry_to_row(entry) for entry in entries])

    async def list(
        self, scope: AuditScope, narrowed_to: AuditFilter, *, limit: int, cursor: str | None
    ) -> Page[AuditRecord]:
        query = _narrowed(sa.select(audit_entries), narrowed_to).order_by(entries.at, entries.id).limit(limit + 1)
        if cursor is not None:
            at, entry_id = decode_cursor(cursor, tuple[datetime, UUID])
            query = query.where(
                sa.tuple_(entries.at, entries.id) > sa.tuple_(sa.literal(at, entries.at.type), sa.literal(entry_id))
            )
        # Each part is read in the order of its index; one query for both would have to sort everything.
        parts = [query.where(entries.organisation_id == scope.organisation_id)]
        if scope.with_unowned:
            parts.append(query.where(entries.organisation_id.is_(None)))
        united = sa.union_all(*(sa.select(part.subquery()) for part in parts)).subquery()
        found = await self._connection.execute(sa.select(united).order_by(united.c.at, united.c.id).limit(limit + 1))
        records = [_row_to_record(row) for row in found]
        last = records[limit - 1].entry if len(records) > limit else None
        return Page(records[:limit], encode_cursor(last.at, last.id) if last else None)

    async def find_head(self, *, for_sealing: bool = False) -> ChainHead | None:
        if for_sealing:
            await self._connection.execute(LOCK)
        query = _places().where(entries.position.is_not(None)).order_by(entries.position.desc()).limit(1)
        return _row_to_place((await self._connection.execute(query)).first())

    async def find_place(self, position: int) -> ChainHead | None:
        query = _places().where(entries.position == position)
        return _row_to_place((await self._connection.execute(query)).first())

    async def list_unsealed(self, *, limit: int) -> builtins.list[AuditEntry]:
        query = sa.select(audit_entries).where(entries.position.is_(None)).order_by(entries.at, entries.id)
        found = await self._connection.execute(query.limit(limit))
        return [_row_to_record(row).entry for row in found]

    async def list_sealed(self, *, after: int | None, limit: int) -> builtins.list[AuditRecord]:
        query = sa.select(audit_entries).where(entries.position.is_not(None)).order_by(entries.position)
        if after is not None:
            query = query.where(entries.position > after)
        return [_row_to_record(row) for row in await self._connection.execute(query.limit(limit))]

    async def save_places(self, records: Iterable[AuditRecord]) -> None:
        placed = [(record.entry.id, record.place) for record in records if record.place is not None]
        await self._connection.execute(
            SAVE_PLACES,
            {
                "ids": [entry_id for entry_id, _ in placed],
                "positions": [place.position for _, place in placed],
                "seals": [place.seal for _, place in placed],
            },
        )

    async def count_unsealed(self) -> Waiting:
        query = sa.select(sa.func.count(), sa.func.min(entries.at)).where(entries.position.is_(None))
        count, oldest_at = (await self._connection.execute(query)).one()
        return Waiting(count, oldest_at)


def _narrowed(query: sa.Select[Any], to: AuditFilter) -> sa.Select[Any]:
    for given, whole, id_alone in ((to.actor, entries.actor, ID_OF_ACTOR), (to.target, entries.target, ID_OF_TARGET)):
        if given is not None:
            _, has_kind, rest = given.partition(":")
            query = query.where(id_alone == (rest if has_kind else given))
            if has_kind:
                query = query.where(whole == given)
    equal = {
        entries.action: to.action,
        entries.outcome: to.outcome and to.outcome.value,
        entries.correlation_id: to.correlation_id,
    }
    conditions = [column == value for column, value in equal.items() if value is not None]
    if to.start is not None:
        conditions.append(entries.at >= to.start)
    if to.end is not None:
        conditions.append(entries.at < to.end)
    return query.where(*conditions)


def _places() -> sa.Select[Any]:
    return sa.select(entries.position, entries.seal)


def _entry_to_row(entry: AuditEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "at": entry.at,
        "organisation_id": entry.organisation_id,
        "actor": entry.actor,
        "action": entry.action,
        "target": entry.target,
        "address": entry.address,
        "correlation_id": entry.correlation_id,
        "outcome": entry.outcome.value,
        "code": entry.code,
        "details": entry.details,
    }


def _row_to_place(row: sa.Row[Any] | None) -> ChainHead | None:
    return None if row is None or row.position is None else ChainHead(row.position, row.seal)


def _row_to_record(row: sa.Row[Any]) -> AuditRecord:
    entry = AuditEntry(
        id=row.id,
        at=row.at,
        organisation_id=row.organisation_id and OrganisationId(row.organisation_id),
        actor=row.actor,
        action=row.action,
        target=row.target,
        address=row.address,
        correlation_id=row.correlation_id,
        outcome=AuditOutcome(row.outcome),
        code=row.code,
        details=row.details,
    )
    return AuditRecord(entry, _row_to_place(row))
