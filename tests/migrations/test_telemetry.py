from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.engine import make_url

from iotsphere.localstack.stack import LocalStack, create_database
from repositories.migrations import HISTORIES, is_current, upgrade
from repositories.telemetry.tables import metadata


@pytest.fixture(params=["timescaledb", "partitions"])
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def empty_dsn(stack: LocalStack, engine_name: str) -> str:
    has_timescaledb = engine_name == "timescaledb"
    return await create_database(stack, f"telemetry_migrations_{engine_name}", timescaledb=has_timescaledb)


def test_the_history_leads_from_an_empty_database_to_what_the_adapter_expects(
    empty_dsn: str, engine_name: str
) -> None:
    assert not is_current("telemetry", empty_dsn)

    upgrade("telemetry", empty_dsn)
    upgrade("telemetry", empty_dsn)

    assert is_current("telemetry", empty_dsn)
    engine = sa.create_engine(make_url(empty_dsn).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        # What compare_metadata does not look at.
        checks = sa.inspect(connection).get_check_constraints("points")
        assert [constraint["name"] for constraint in checks] == ["ck_points_value"]
        assert connection.scalar(METRIC_COLLATION) == "C"
        assert connection.scalar(KIND_OF_TABLE) == ("r" if engine_name == "timescaledb" else "p")
        if engine_name == "timescaledb":
            assert connection.scalar(CHUNK_LENGTH) == "30 days"
    engine.dispose()


def test_every_revision_says_what_it_does() -> None:
    for revision in Path(HISTORIES / "telemetry" / "versions").glob("*.py"):
        assert revision.read_text(encoding="utf-8").startswith('"""')


METRIC_COLLATION = sa.text(
    "SELECT collation_name FROM information_schema.columns WHERE (table_name, column_name) = ('points', 'metric')"
)
KIND_OF_TABLE = sa.text("SELECT relkind::text FROM pg_class WHERE oid = to_regclass('points')")
CHUNK_LENGTH = sa.text(
    "SELECT time_interval::text FROM timescaledb_information.dimensions WHERE hypertable_name = 'points'"
)
