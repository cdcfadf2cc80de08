"""The audit trail in PostgreSQL, which itself refuses to change or remove an entry."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.kernel.audit import AuditEntry
from repositories.registry.tables import audit_entries


class SqlAlchemyAuditTrail:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, *entries: AuditEntry) -> None:
        rows = [
            {
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
            for entry in entries
        ]
        await self._connection.execute(sa.insert(audit_entries), rows)
