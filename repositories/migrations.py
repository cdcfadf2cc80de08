"""Brings a store's schema to the newest revision of its own history in ``db/<store>``.

Alembic is loaded when it is needed: that takes a tenth of what a process takes to start, and most never migrate.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url

if TYPE_CHECKING:
    from alembic.config import Config

HISTORIES = Path(__file__).parent.parent / "db"
# Any number will do, as long as every process that migrates this database takes the same one.
MIGRATION_LOCK = 4_072_026


def upgrade(store: str, dsn: str) -> None:
    """Run the revisions that are missing, in one transaction; two processes at once take turns."""
    engine = create_engine(make_url(dsn).set(drivername="postgresql+psycopg"), connect_args={"connect_timeout": 5})
    with engine.begin() as connection:
        # Rewriting tables may take minutes, and so may others' turns; the role's own limits are those of requests.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        # Behind whoever waits for a table, all others would wait that use it.
        connection.execute(text("SET LOCAL lock_timeout TO DEFAULT"))
        if _revision(connection) != head_revision(store):
            from alembic import command  # noqa: PLC0415

            command.upgrade(_config(store, connection), "head")
    engine.dispose()


def is_current(store: str, dsn: str) -> bool:
    """Tell whether the schema is the one that this version of the code expects."""
    engine = create_engine(make_url(dsn).set(drivername="postgresql+psycopg"), connect_args={"connect_timeout": 5})
    with engine.connect() as connection:
        current = _revision(connection) == head_revision(store)
    engine.dispose()
    return current


def _config(store: str, connection: Connection | None = None) -> "Config":
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    # Alembic reads options through a template language in which a percent sign is special.
    config.set_main_option("script_location", str(HISTORIES / store).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def head_revision(store: str) -> str | None:
    """Give the newest revision that this version of the code knows."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    return ScriptDirectory.from_config(_config(store)).get_current_head()


def _revision(connection: Connection) -> str | None:
    from alembic.migration import MigrationContext  # noqa: PLC0415

    return MigrationContext.configure(connection).get_current_revision()
