import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.engine import make_url

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.localstack.stack import LocalStack, create_database
from iotsphere.telemetry.model import EARLIEST, Order, Point, Selection
from repositories.availability import StoreGate
from repositories.migrations import HISTORIES, _config, is_current, upgrade
from repositories.sql import create_store_engine
from repositories.telemetry.tables import metadata
from repositories.telemetry.unit_of_work import SqlAlchemyTelemetryUnitOfWork


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
        assert connection.scalar(METRIC_COLLATION) == "C"
        assert connection.scalar(KIND_OF_TABLE) == ("r" if engine_name == "timescaledb" else "p")
        if engine_name == "timescaledb":
            assert connection.scalar(CHUNK_LENGTH) == "30 days"
    engine.dispose()


async def test_points_of_before_are_in_readings_afterwards(stack: LocalStack, engine_name: str) -> None:
    has_timescaledb = engine_name == "timescaledb"
    dsn = await create_database(stack, f"telemetry_points_{engine_name}", timescaledb=has_timescaledb)
    before = sa.create_engine(make_url(dsn).set(drivername="postgresql+psycopg"))
    with before.begin() as connection:
        command.upgrade(_config("telemetry", connection), "0002")
        if not has_timescaledb:
            connection.execute(PARTITIONS)
        connection.execute(POINTS, [dict(zip(COLUMNS, point, strict=True)) for point in BEFORE])
    before.dispose()

    upgrade("telemetry", dsn)

    found = []
    engine = create_store_engine(dsn)
    async with SqlAlchemyTelemetryUnitOfWork(engine, StoreGate("telemetry")) as uow:
        for device_id in (ONE, OTHER):
            selection = Selection(device_id, None, EARLIEST, datetime(2100, 1, 1, tzinfo=UTC))
            found += await uow.points.range(selection, order=Order.ASCENDING, after=None, limit=100)
    await engine.dispose()
    assert found == [
        Point(device_id, metric, ts, number if other is None else json.loads(other))
        for device_id, metric, ts, number, other in BEFORE
    ]


def test_every_revision_says_what_it_does() -> None:
    for revision in Path(HISTORIES / "telemetry" / "versions").glob("*.py"):
        assert revision.read_text(encoding="utf-8").startswith('"""')


ONE, OTHER = DeviceId(uuid4()), DeviceId(uuid4())
JANUARY, FEBRUARY = datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
COLUMNS = ("device_id", "metric", "ts", "number", "other")
BEFORE = [
    (ONE, "a", JANUARY, 1.5, None),
    (ONE, "b", JANUARY, None, '"on"'),
    (ONE, "c", JANUARY, -0.0, None),
    (ONE, "a", FEBRUARY, None, "true"),
    (ONE, "d", FEBRUARY, None, '{"x": [1]}'),
    (OTHER, "Z", FEBRUARY, 2.0, None),
    (OTHER, "c", FEBRUARY, 3.0, None),
]
PARTITIONS = sa.text("""
CREATE TABLE points_2026_01 PARTITION OF points FOR VALUES FROM ('2026-01-01T00:00Z') TO ('2026-02-01T00:00Z');
CREATE TABLE points_2026_02 PARTITION OF points FOR VALUES FROM ('2026-02-01T00:00Z') TO ('2026-03-01T00:00Z');
""")
POINTS = sa.text("""
INSERT INTO points (device_id, metric, ts, number, other)
VALUES (:device_id, :metric, :ts, :number, CAST(:other AS jsonb))
""")
METRIC_COLLATION = sa.text(
    "SELECT collation_name FROM information_schema.columns WHERE (table_name, column_name) = ('sources', 'metrics')"
)
KIND_OF_TABLE = sa.text("SELECT relkind::text FROM pg_class WHERE oid = to_regclass('readings')")
CHUNK_LENGTH = sa.text(
    "SELECT time_interval::text FROM timescaledb_information.dimensions WHERE hypertable_name = 'readings'"
)
