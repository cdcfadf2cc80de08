"""The journal of shadows in PostgreSQL: plain tables, with and without TimescaleDB.

Nothing is looked for here by time alone, and nothing is ever dropped by time: a history is read shadow by shadow, and
kept for as long as the device. Chunks or partitions would add to every insert and every key, and save nothing.
"""

import builtins
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.kernel.pagination import Page, decode_cursor, encode_cursor
from iotsphere.shadow.keeping import KEPT_EVERY
from iotsphere.shadow.model import (
    ChangeKind,
    DesiredRefusal,
    DesiredRequest,
    NamedShadow,
    RequestState,
    Shadow,
    ShadowChange,
    ShadowHead,
    ShadowKey,
    ShadowPatch,
    Violation,
)
from repositories.telemetry.journal_generations import SqlAlchemyGenerations
from repositories.telemetry.journalling import append_changes, put_aside
from repositories.telemetry.tables import shadow_changes, shadow_changes_refused, shadow_heads, shadow_requests

changes, heads, requests = shadow_changes.c, shadow_heads.c, shadow_requests.c
SHADOW = msgspec.json.Decoder(Shadow)
PATCH = msgspec.json.Decoder(ShadowPatch)
VIOLATIONS = msgspec.json.Decoder(list[Violation])
REFUSAL = msgspec.json.Decoder(DesiredRefusal)

# What a cursor may hold that the database can be asked about.
Version = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Text = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00]*\Z")]


class SqlAlchemyShadowJournal(SqlAlchemyGenerations):
    async def append(self, changes: Sequence[ShadowChange]) -> None:
        await append_changes(self._connection, changes)

    async def put_aside(self, change: ShadowChange, *, reason: str) -> None:
        await put_aside(self._connection, change, reason)

    async def count_put_aside(self) -> int:
        count = await self._connection.execute(sa.select(sa.func.count()).select_from(shadow_changes_refused))
        return int(count.scalar_one())

    async def find_head(self, key: ShadowKey) -> ShadowHead | None:
        query = _heads().where(heads.device_id == key.device_id, heads.name == (key.name or ""))
        row = (await self._connection.execute(query)).first()
        return None if row is None else _row_to_head(row)

    async def find_heads(self, keys: Sequence[ShadowKey], *, for_update: bool = False) -> builtins.list[ShadowHead]:
        ids = sa.cast([key.device_id for key in keys], ARRAY(sa.Uuid))
        names = sa.cast([key.name or "" for key in keys], ARRAY(sa.Text))
        wanted = sa.select(sa.func.unnest(ids, names).table_valued("device_id", "name").render_derived())
        query = _heads().where(sa.tuple_(heads.device_id, heads.name).in_(wanted))
        if for_update:
            # In the order in which changes are appended, so that nobody waits in a circle.
            query = query.order_by(heads.device_id, heads.name).with_for_update()
        return [_row_to_head(row) for row in await self._connection.execute(query)]

    async def list_heads(self, *, after: ShadowKey | None, limit: int) -> builtins.list[ShadowHead]:
        query = _heads().order_by(heads.device_id, heads.name).limit(limit)
        if after is not None:
            last = sa.tuple_(sa.literal(after.device_id), sa.literal(after.name or ""))
            query = query.where(sa.tuple_(heads.device_id, heads.name) > last)
        return [_row_to_head(row) for row in await self._connection.execute(query)]

    async def list_named(self, device_id: DeviceId, *, limit: int, cursor: str | None) -> Page[NamedShadow]:
        (last,) = decode_cursor(cursor, tuple[Text]) if cursor is not None else ("",)
        query = sa.select(heads.name, heads.version).order_by(heads.name).limit(limit + 1)
        query = query.where(heads.device_id == device_id, heads.name > last, heads.is_deleted.is_(False))
        found = [NamedShadow(*row) for row in await self._connection.execute(query)]
        return Page(found[:limit], encode_cursor(found[limit - 1].name) if len(found) > limit else None)

    async def list(
        self, key: ShadowKey, *, start: datetime | None, end: datetime | None, limit: int, cursor: str | None
    ) -> Page[ShadowChange]:
        query = _changes_of(key).order_by(changes.at.desc(), changes.version.desc()).limit(limit + 1)
        if start is not None:
            query = query.where(changes.at >= start)
        if end is not None:
            query = query.where(changes.at < end)
        if cursor is not None:
            at, version = decode_cursor(cursor, tuple[datetime, Version])
            last = sa.tuple_(sa.literal(at, changes.at.type), sa.literal(version, changes.version.type))
            query = query.where(sa.tuple_(changes.at, changes.version) < last)
        found = [_row_to_change(key, row) for row in await self._connection.execute(query)]
        last_shown = found[limit - 1] if len(found) > limit else None
        return Page(found[:limit], encode_cursor(last_shown.at, last_shown.version) if last_shown else None)

    async def find_version_at(self, key: ShadowKey, at: datetime) -> int | None:
        query = sa.select(changes.version).where(*_is_of(key, shadow_changes), changes.at <= at)
        return await self._connection.scalar(query.order_by(changes.at.desc(), changes.version.desc()).limit(1))

    async def list_since_kept(self, key: ShadowKey, *, version: int) -> Sequence[ShadowChange]:
        # Of so many in a row one is kept, or some are missing.
        reach = changes.version.between(version - KEPT_EVERY + 1, version)
        query = _changes_of(key, changes.shadow).where(reach).order_by(changes.version.desc())
        found: list[ShadowChange] = []
        for row in await self._connection.execute(query):
            if row.version != version - len(found):
                break
            if row.shadow is not None:
                kept = _row_to_change(key, row, SHADOW.decode(row.shadow))
                return [kept, *reversed(found)]
            found.append(_row_to_change(key, row))
        return []

    async def list_requests(
        self, key: ShadowKey, *, state: RequestState | None, limit: int, cursor: str | None
    ) -> Page[DesiredRequest]:
        place = sa.tuple_(requests.requested_version, requests.path)
        query = _requests_of(key).order_by(requests.requested_version.desc(), requests.path.desc()).limit(limit + 1)
        if state is not None:
            query = query.where(requests.state == state.value)
        if cursor is not None:
            version, path = decode_cursor(cursor, tuple[Version, Text])
            query = query.where(place < sa.tuple_(sa.literal(version, sa.BigInteger), sa.literal(path)))
        found = [_row_to_request(row) for row in await self._connection.execute(query)]
        last = found[limit - 1] if len(found) > limit else None
        return Page(found[:limit], encode_cursor(last.requested_version, last.path) if last else None)


def _is_of(key: ShadowKey, table: sa.Table) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.device_id == key.device_id, table.c.name == (key.name or "")


def _as_text(column: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """Read JSON as it was written, to be decoded into what it is."""
    return sa.cast(column, sa.Text).label(column.key)


def _heads() -> sa.Select[Any]:
    return sa.select(heads.device_id, heads.name, heads.generation, _as_text(heads.shadow))


def _changes_of(key: ShadowKey, *json: sa.Column[Any]) -> sa.Select[Any]:
    told = (changes.version, changes.at, changes.kind, changes.actor, changes.correlation_id, changes.generation)
    texts = map(_as_text, (changes.patch, changes.violations, *json))
    return sa.select(*told, *texts).where(*_is_of(key, shadow_changes))


def _requests_of(key: ShadowKey) -> sa.Select[Any]:
    """Leave out those of which the journal has heard no more than how they ended."""
    told = [column for column in requests if column.name not in {"device_id", "name", "value", "refusal"}]
    query = sa.select(*told, _as_text(requests.value), _as_text(requests.refusal))
    return query.where(*_is_of(key, shadow_requests), requests.requested_by.is_not(None))


def _row_to_head(row: sa.Row[Any]) -> ShadowHead:
    key = ShadowKey(DeviceId(row.device_id), row.name or None)
    return ShadowHead(key, SHADOW.decode(row.shadow), row.generation)


def _row_to_change(key: ShadowKey, row: sa.Row[Any], shadow: Shadow | None = None) -> ShadowChange:
    violations = [] if row.violations is None else VIOLATIONS.decode(row.violations)
    return ShadowChange(
        key=key,
        kind=ChangeKind(row.kind),
        shadow=shadow or Shadow(row.version, violations=violations, changed_at=row.at),
        actor=row.actor,
        correlation_id=row.correlation_id,
        patch=None if row.patch is None else PATCH.decode(row.patch),
        generation=row.generation,
    )


def _row_to_request(row: sa.Row[Any]) -> DesiredRequest:
    return DesiredRequest(
        path=row.path,
        value=msgspec.json.decode(row.value),
        requested_by=row.requested_by,
        requested_at=row.requested_at,
        requested_version=row.requested_version,
        state=RequestState(row.state),
        settled_at=row.settled_at,
        settled_version=row.settled_version,
        refusal=None if row.refusal is None else REFUSAL.decode(row.refusal),
    )
