"""Idempotency records in PostgreSQL: the primary key decides which of several requests came first."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.identity.model import IdempotencyRecord
from repositories.registry.tables import idempotency_records as records


class SqlAlchemyIdempotencyRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def claim(
        self,
        actor: str,
        key: str,
        fingerprint: bytes,
        *,
        now: datetime,
        forget_before: datetime,
        abandon_before: datetime,
    ) -> IdempotencyRecord | None:
        new = insert(records).values(actor=actor, key=key, fingerprint=fingerprint, started_at=now)
        counts_for_nothing = (records.c.started_at < forget_before) | (
            records.c.answer.is_(None) & (records.c.started_at < abandon_before)
        )
        claimed = await self._connection.execute(
            new.on_conflict_do_update(
                index_elements=[records.c.actor, records.c.key],
                set_={"fingerprint": fingerprint, "started_at": now, "answer": None},
                where=counts_for_nothing,
            ).returning(records.c.key)
        )
        if claimed.first() is not None:
            return None
        query = sa.select(records.c.fingerprint, records.c.answer)
        found = (await self._connection.execute(query.where(*_is(actor, key)))).one_or_none()
        # Removed in between by the request that had it: the caller claims it again and finds it free.
        return IdempotencyRecord(found.fingerprint, found.answer) if found else IdempotencyRecord(fingerprint, None)

    async def save_answer(self, actor: str, key: str, answer: bytes, *, started_at: datetime) -> None:
        its_own = (*_is(actor, key), records.c.started_at == started_at)
        await self._connection.execute(sa.update(records).where(*its_own).values(answer=answer))

    async def remove(self, actor: str, key: str, *, started_at: datetime) -> None:
        its_own = (*_is(actor, key), records.c.started_at == started_at)
        await self._connection.execute(sa.delete(records).where(*its_own))

    async def remove_before(self, moment: datetime, *, limit: int) -> int:
        is_old = records.c.started_at < moment
        old = sa.select(records.c.actor, records.c.key).where(is_old).limit(limit)
        # Asked again of what is removed: the key may have been claimed anew in between.
        removal = sa.delete(records).where(sa.tuple_(records.c.actor, records.c.key).in_(old), is_old)
        return (await self._connection.execute(removal)).rowcount


def _is(actor: str, key: str) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return records.c.actor == actor, records.c.key == key
