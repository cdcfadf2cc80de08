from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.engine import make_url

from iotsphere.localstack.stack import LocalStack, create_database
from repositories.assets.tables import metadata
from repositories.migrations import HISTORIES, is_current, upgrade


@pytest.fixture
async def empty_dsn(stack: LocalStack) -> str:
    return await create_database(stack, "assets_migrations", timescaledb=False)


def test_the_history_leads_from_an_empty_database_to_what_the_adapter_expects(empty_dsn: str) -> None:
    assert not is_current("assets", empty_dsn)

    upgrade("assets", empty_dsn)
    upgrade("assets", empty_dsn)

    assert is_current("assets", empty_dsn)
    engine = sa.create_engine(make_url(empty_dsn).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert _check_constraints(connection) == {
            str(constraint.name)
            for table in metadata.tables.values()
            for constraint in table.constraints
            if isinstance(constraint, sa.CheckConstraint)
        }
        assert _method(connection, "ix_assets_properties") == "gin (properties jsonb_path_ops)"
    engine.dispose()


def test_every_revision_says_what_it_does() -> None:
    for revision in Path(HISTORIES / "assets" / "versions").glob("*.py"):
        assert revision.read_text(encoding="utf-8").startswith('"""')


def _check_constraints(connection: sa.Connection) -> set[str | None]:
    """What ``compare_metadata`` does not look at."""
    inspector = sa.inspect(connection)
    return {constraint["name"] for table in metadata.tables for constraint in inspector.get_check_constraints(table)}


def _method(connection: sa.Connection, index: str) -> str:
    definition: str = connection.execute(
        sa.text("SELECT pg_get_indexdef(to_regclass(:index))"), {"index": index}
    ).scalar_one()
    return definition.partition(" USING ")[2]
