"""Looks at a PostgreSQL store as its own role sees it."""

from collections.abc import AsyncIterator, Collection
from urllib.parse import urlsplit

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.kernel.findings import Finding
from repositories.migrations import head_revision
from repositories.sql import SqlAlchemyStoreProbe

REVISION = text("SELECT version_num FROM alembic_version")
ROLE = text("""
SELECT rolname, rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls
FROM pg_roles WHERE rolname = current_user
""")
OUT_OF_REACH = text("""
SELECT relname FROM pg_class
WHERE relnamespace = CAST(current_schema() AS regnamespace) AND relkind IN ('r', 'p') AND NOT (
    has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
    AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')
)
ORDER BY relname
""")
FOREIGN_DATABASES = text("""
SELECT datname FROM pg_database
WHERE datname = ANY(:names) AND datname <> current_database() AND has_database_privilege(datname, 'CONNECT')
ORDER BY datname
""")
GUARDS = text("SELECT tgname FROM pg_trigger WHERE tgname = ANY(:names) AND tgenabled IN ('O', 'A')")


def database_names(*dsns: str | None) -> list[str]:
    return [urlsplit(dsn).path.removeprefix("/") for dsn in dsns if dsn is not None]


class SqlAlchemyStoreExaminer:
    """Asks the server about its version, the schema, and what the role may do.

    :param foreign: the databases of the other stores.
    :param guards: the triggers without which the store would let be changed what must not be.
    """

    def __init__(
        self, store: str, probe: SqlAlchemyStoreProbe, *, foreign: Collection[str], guards: Collection[str] = ()
    ) -> None:
        self._store = store
        self._probe = probe
        self._foreign = list(foreign)
        self._guards = list(guards)

    async def examine(self) -> list[Finding]:
        """:raises UnavailableError: the store does not answer, or has no schema."""
        findings = [self._well("answers", await self._probe.probe())]
        async with self._probe.reach() as connection:
            findings += [
                await self._examine_schema(connection),
                await self._examine_role(connection),
                *[finding async for finding in self._examine_rights(connection)],
            ]
        return findings

    async def _examine_schema(self, connection: AsyncConnection) -> Finding:
        revision, head = await connection.scalar(REVISION), head_revision(self._store)
        if revision == head:
            return self._well("schema", f"revision {revision}, the newest")
        return self._bad("schema", f"Revision {revision}, and this version needs {head}: run 'iotsphere migrate'.")

    async def _examine_role(self, connection: AsyncConnection) -> Finding:
        name, is_mighty = (await connection.execute(ROLE)).one()
        if not is_mighty:
            return self._well("role", f"{name}, an ordinary role")
        return self._bad("role", f"The role {name} may administer the whole server: give the store one of its own.")

    async def _examine_rights(self, connection: AsyncConnection) -> AsyncIterator[Finding]:
        tables = list((await connection.execute(OUT_OF_REACH)).scalars())
        if tables:
            yield self._bad("rights", f"The role may not read and write {', '.join(tables)}.")
        else:
            yield self._well("rights", "reads and writes all of its tables")
        reachable = list((await connection.execute(FOREIGN_DATABASES, {"names": self._foreign})).scalars())
        if reachable:
            yield self._bad("isolation", f"The role may also connect to {', '.join(reachable)}.")
        else:
            yield self._well("isolation", "connects to no other store's database on its server")
        if self._guards:
            on = set((await connection.execute(GUARDS, {"names": self._guards})).scalars())
            yield self._guards_finding(sorted(set(self._guards) - on))

    def _guards_finding(self, off: list[str]) -> Finding:
        if not off:
            return self._well("guards", "the audit trail refuses to be changed")
        return self._bad("guards", f"The audit trail can be changed: {', '.join(off)} is gone or switched off.")

    def _well(self, check: str, detail: str) -> Finding:
        return Finding(self._store, check, is_well=True, detail=detail)

    def _bad(self, check: str, detail: str) -> Finding:
        return Finding(self._store, check, is_well=False, detail=detail)
