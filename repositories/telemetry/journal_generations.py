"""The lives of the shadow store, and who has written in each."""

from collections.abc import Collection, Sequence
from typing import Any, cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.shadow.model import Generation
from repositories.telemetry.tables import shadow_generations, shadow_writers

generations, writers = shadow_generations.c, shadow_writers.c

# Whoever comes second waits for the first, and then sees what is decided.
DECIDE_JUMP = sa.text("""
UPDATE shadow_generations SET version_jump = COALESCE(version_jump, CASE
    WHEN EXISTS (SELECT FROM shadow_writers WHERE generation < :number AND closed_at IS NULL) THEN :jump ELSE 0 END)
WHERE number = :number
RETURNING version_jump
""").bindparams(sa.bindparam("number", type_=sa.BigInteger), sa.bindparam("jump", type_=sa.BigInteger))


class SqlAlchemyGenerations:
    """The part of the journal that outlives the store."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find_generation(self) -> Generation | None:
        query = sa.select(shadow_generations).order_by(generations.number.desc()).limit(1)
        row = (await self._connection.execute(query)).first()
        return None if row is None else _row_to_generation(row)

    async def add_generation(self, number: int) -> None:
        await self._connection.execute(insert(shadow_generations).values(number=number).on_conflict_do_nothing())

    async def decide_version_jump(self, number: int, *, jump: int) -> int:
        decided = await self._connection.execute(DECIDE_JUMP, {"number": number, "jump": jump})
        return cast("int", decided.scalar_one())

    async def end_rebuilding(self, number: int) -> None:
        is_open = (generations.number == number) & generations.rebuilt_at.is_(None)
        ended = {"rebuilt_at": sa.func.clock_timestamp()}
        await self._connection.execute(sa.update(shadow_generations).where(is_open).values(ended))

    async def open_writer(self, writer_id: UUID, *, generation: int) -> None:
        added = insert(shadow_writers).values(id=writer_id, generation=generation)
        # Nothing is written where nothing changes: this is said again and again.
        reopened = added.on_conflict_do_update(
            index_elements=[writers.id, writers.generation],
            set_={"closed_at": None},
            where=writers.closed_at.is_not(None),
        )
        await self._connection.execute(reopened)

    async def close_writers(self, writer_ids: Collection[UUID], *, generation: int) -> None:
        is_theirs = writers.id.in_(writer_ids) & (writers.generation <= generation) & writers.closed_at.is_(None)
        closed = {"closed_at": sa.func.clock_timestamp()}
        await self._connection.execute(sa.update(shadow_writers).where(is_theirs).values(closed))

    async def list_open_writers(self, *, before: int | None = None) -> Sequence[UUID]:
        query = sa.select(writers.id).where(writers.closed_at.is_(None)).distinct().order_by(writers.id)
        if before is not None:
            query = query.where(writers.generation < before)
        return (await self._connection.scalars(query)).all()


def _row_to_generation(row: sa.Row[Any]) -> Generation:
    return Generation(
        number=row.number,
        began_at=row.began_at,
        position=row.position,
        version_jump=row.version_jump,
        rebuilt_at=row.rebuilt_at,
    )
