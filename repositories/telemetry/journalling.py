"""How changes are written to the journal: a few statements for many changes, which may come twice and in any order.

Rows are written in the order of their keys, so that two transactions with the same changes wait for each other one
way alone, and not too many in one statement, so that none takes longer than a statement may.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from itertools import groupby
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.shadow.errors import ChangesRefusedError
from iotsphere.shadow.keeping import RequestNote, is_kept_whole, notes_of
from iotsphere.shadow.model import ShadowChange, ShadowPatch
from repositories.sql import sqlstate

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 2000
BYTES_AT_ONCE = 2**21
# What PostgreSQL says of data that it cannot take, by the class of the state: data, integrity, a limit of its own.
REFUSALS = ("22", "23", "54")

ADD_CHANGES = sa.text("""
INSERT INTO shadow_changes (
    device_id, name, version, at, kind, actor, correlation_id, generation, patch, violations, shadow
)
SELECT * FROM unnest(
    CAST(:c0 AS uuid[]), CAST(:c1 AS text[]), CAST(:c2 AS bigint[]), CAST(:c3 AS timestamptz[]), CAST(:c4 AS text[]),
    CAST(:c5 AS text[]), CAST(:c6 AS text[]), CAST(:c7 AS bigint[]),
    CAST(:c8 AS json[]), CAST(:c9 AS json[]), CAST(:c10 AS json[])
)
ON CONFLICT (device_id, name, version) DO NOTHING
""")

# No two changes of a shadow are made at one time, but for those that were made twice of one version.
FIND_OTHERS = sa.text("""
SELECT given.place - 1
FROM unnest(CAST(:c0 AS uuid[]), CAST(:c1 AS text[]), CAST(:c2 AS bigint[]), CAST(:c3 AS timestamptz[]))
    WITH ORDINALITY AS given (device_id, name, version, at, place)
JOIN shadow_changes AS known USING (device_id, name, version)
WHERE known.at <> given.at
""")

ADVANCE_HEADS = sa.text("""
INSERT INTO shadow_heads (device_id, name, version, generation, is_deleted, shadow)
SELECT * FROM unnest(
    CAST(:c0 AS uuid[]), CAST(:c1 AS text[]), CAST(:c2 AS bigint[]), CAST(:c3 AS bigint[]), CAST(:c4 AS boolean[]),
    CAST(:c5 AS json[])
)
ON CONFLICT (device_id, name) DO UPDATE SET
    version = excluded.version, generation = excluded.generation,
    is_deleted = excluded.is_deleted, shadow = excluded.shadow
WHERE excluded.version > shadow_heads.version
""")

# The same that RequestNote.join does.
NOTE = """
INSERT INTO shadow_requests (
    device_id, name, requested_version, path,
    value, requested_by, requested_at, state, settled_version, settled_at, refusal
)
SELECT * FROM unnest(
    CAST(:c0 AS uuid[]), CAST(:c1 AS text[]), CAST(:c2 AS bigint[]), CAST(:c3 AS text[]),
    CAST(:c4 AS json[]), CAST(:c5 AS text[]), CAST(:c6 AS timestamptz[]),
    CAST(:c7 AS text[]), CAST(:c8 AS bigint[]), CAST(:c9 AS timestamptz[]), CAST(:c10 AS json[])
)
ON CONFLICT (device_id, name, requested_version, path) DO UPDATE SET
    value = COALESCE(shadow_requests.value, excluded.value),
    requested_by = COALESCE(shadow_requests.requested_by, excluded.requested_by),
    requested_at = COALESCE(shadow_requests.requested_at, excluded.requested_at),
    state = CASE WHEN {is_earlier} THEN excluded.state ELSE shadow_requests.state END,
    settled_version = LEAST(shadow_requests.settled_version, excluded.settled_version),
    settled_at = CASE WHEN {is_earlier} THEN excluded.settled_at ELSE shadow_requests.settled_at END,
    refusal = CASE WHEN {is_earlier} THEN excluded.refusal ELSE shadow_requests.refusal END
"""
IS_EARLIER = "excluded.settled_version < COALESCE(shadow_requests.settled_version, 9223372036854775807)"
NOTE_REQUESTS = sa.text(NOTE.format(is_earlier=IS_EARLIER))

ADVANCE_GENERATION = sa.text("""
UPDATE shadow_generations SET position = :position WHERE number = :number AND position < :position
""")

PUT_ASIDE = sa.text("""
INSERT INTO shadow_changes_refused (device_id, name, version, change, reason)
VALUES (:device_id, :name, :version, :change, :reason)
ON CONFLICT (device_id, name, version) DO NOTHING
""")

Row = tuple[Any, ...]


async def append_changes(connection: AsyncConnection, changes: Sequence[ShadowChange]) -> None:
    """:raises ChangesRefusedError: at least one of them can never be appended."""
    ordered = sorted(changes, key=lambda change: (change.key.device_id, change.key.name or "", change.version))
    heads = {change.key: change for change in ordered}
    try:
        if await _write(connection, ADD_CHANGES, map(_change_row, ordered)) < len(ordered):
            await _put_others_aside(connection, ordered)
        await _write(connection, ADVANCE_HEADS, map(_head_row, heads.values()))
        await _write(connection, NOTE_REQUESTS, _request_rows(ordered))
        for number in sorted({change.generation for change in changes}):
            position = max(change.position for change in changes if change.generation == number)
            await connection.execute(ADVANCE_GENERATION, {"number": number, "position": position})
    except DBAPIError as error:
        if not sqlstate(error).startswith(REFUSALS):
            raise
        raise ChangesRefusedError(str(error.orig)) from error


async def _put_others_aside(connection: AsyncConnection, changes: Sequence[ShadowChange]) -> None:
    """Put aside what is not the change that is known by its version; what is, was told twice."""
    places = await connection.scalars(FIND_OTHERS, _columns((*_key(change), change.at) for change in changes))
    for place in places:
        change = changes[place]
        logger.error("Version %s of a shadow of device %s was given twice", change.version, change.key.device_id)
        await put_aside(connection, change, "Another change is known by this version.")


async def put_aside(connection: AsyncConnection, change: ShadowChange, reason: str) -> None:
    kept = {"change": msgspec.json.encode(change), "reason": reason.replace("\0", "")[:1000]}
    await connection.execute(PUT_ASIDE, dict(zip(("device_id", "name", "version"), _key(change), strict=True)) | kept)


def _key(change: ShadowChange) -> tuple[Any, str, int]:
    return change.key.device_id, change.key.name or "", change.version


def _change_row(change: ShadowChange) -> Row:
    return (
        *_key(change),
        change.at,
        change.kind.value,
        change.actor,
        change.correlation_id,
        change.generation,
        None if change.patch is None else _json(_patch_as_told(change.patch)),
        _json(change.shadow.violations) if change.shadow.violations else None,
        _json(change.shadow) if is_kept_whole(change) else None,
    )


def _patch_as_told(patch: ShadowPatch) -> dict[str, Any]:
    return {"state": patch.state} | ({"refusals": patch.refusals} if patch.refusals else {})


def _head_row(change: ShadowChange) -> Row:
    return *_key(change), change.generation, change.shadow.is_deleted, _json(change.shadow)


def _request_rows(ordered: Iterable[ShadowChange]) -> Iterator[Row]:
    """Give a row for each request that changes tell of; a statement can write a row but once."""
    for key, changes in groupby(ordered, key=lambda change: change.key):
        told = [note for change in changes for note in notes_of(change)]
        told.sort(key=_place)
        for place, notes in groupby(told, key=_place):
            yield key.device_id, key.name or "", *place, *_note_values(reduce(RequestNote.join, notes))


def _place(note: RequestNote) -> tuple[int, str]:
    return note.requested_version, note.path


def _note_values(note: RequestNote) -> Row:
    return (
        None if note.requested_by is None else _json(note.value),
        note.requested_by,
        note.requested_at,
        note.state.value,
        note.settled_version,
        note.settled_at,
        None if note.refusal is None else _json(note.refusal),
    )


async def _write(connection: AsyncConnection, statement: sa.TextClause, rows: Iterable[Row]) -> int:
    """Give how many rows were written."""
    written = 0
    for part in _parts(rows):
        written += (await connection.execute(statement, _columns(part))).rowcount
    return written


def _columns(rows: Iterable[Row]) -> dict[str, list[Any]]:
    return {f"c{place}": list(column) for place, column in enumerate(zip(*rows, strict=True))}


def _parts(rows: Iterable[Row]) -> Iterator[list[Row]]:
    part: list[Row] = []
    size = 0
    for row in rows:
        part.append(row)
        size += sum(len(value) for value in row if isinstance(value, str))
        if len(part) == ROWS_AT_ONCE or size >= BYTES_AT_ONCE:
            yield part
            part, size = [], 0
    if part:
        yield part


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
