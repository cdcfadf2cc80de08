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
from iotsphere.telemetry.model import EARLIEST, Order, Point, Reading, Selection
from repositories.availability import StoreGate
from repositories.migrations import HISTORIES, _config, is_current, upgrade
from repositories.telemetry.reading import create_telemetry_engine
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
        context = MigrationContext.configure(connection, opts={"include_name": _is_no_partition})
        assert compare_metadata(context, metadata) == []
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
    engine = create_telemetry_engine(dsn)
    async with SqlAlchemyTelemetryUnitOfWork(engine, StoreGate("telemetry")) as uow:
        for device_id in (ONE, OTHER):
            selection = Selection(device_id, None, EARLIEST, datetime(2100, 1, 1, tzinfo=UTC))
            found += await uow.points.range(selection, order=Order.ASCENDING, after=None, limit=100)
    await engine.dispose()
    assert found == [
        Point(device_id, metric, ts, number if other is None else json.loads(other))
        for device_id, metric, ts, number, other in BEFORE
    ]


async def test_what_was_kept_before_is_parted_by_class_afterwards(stack: LocalStack, engine_name: str) -> None:
    has_timescaledb = engine_name == "timescaledb"
    dsn = await create_database(stack, f"telemetry_classes_{engine_name}", timescaledb=has_timescaledb)
    url = make_url(dsn).set(drivername="postgresql+psycopg")
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        command.upgrade(_config("telemetry", connection), "0006")
        if not has_timescaledb:
            connection.execute(MONTHS)
        connection.execute(KEPT, {"device_id": ONE})
        before = _kept(connection)

    upgrade("telemetry", dsn)

    with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
        assert _kept(connection) == before
        assert [len(rows) for rows in before] == [3, 1, 1, 2]
        for table in TABLES:
            assert str(connection.scalar(KEY, {"name": f"pk_{table}"})).startswith("PRIMARY KEY (source,")
        assert set(connection.scalars(STORAGE)) == {"p"}
    engine = create_telemetry_engine(dsn)
    async with SqlAlchemyTelemetryUnitOfWork(engine, StoreGate("telemetry")) as uow:
        # Into what was there, and beside it.
        for ts in (JANUARY, datetime(2027, 7, 1, tzinfo=UTC)):
            await uow.points.append([Reading(ONE, ts, {"a": 1.0, "new": 2.0})], replace=False)
        selection = Selection(ONE, ("a", "new"), EARLIEST, datetime(2100, 1, 1, tzinfo=UTC))
        points = await uow.points.range(selection, order=Order.ASCENDING, after=None, limit=100)
        await uow.commit()
    await engine.dispose()
    assert [(point.metric, point.value) for point in points] == [
        ("a", 1.5),
        ("new", 2.0),
        ("a", 2.5),
        ("a", 3.5),
        ("a", 1.0),
        ("new", 2.0),
    ]


def _kept(connection: sa.Connection) -> list[list[tuple[object, ...]]]:
    ordered = [sa.text(f"SELECT * FROM {table} ORDER BY 1, 2") for table in TABLES]  # noqa: S608  # of constants
    return [[tuple(row) for row in connection.execute(query)] for query in ordered]


def _is_no_partition(name: str | None, kind: str, _: object) -> bool:
    return kind != "table" or name is None or not name.endswith("_00")


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
TABLES = ("readings", "rollups_1m", "rollups_1h", "rollups_1d")
MONTHS = sa.text(
    "".join(
        f"CREATE TABLE {table}_{start[:4]}_{start[5:]} PARTITION OF {table} "
        f"FOR VALUES FROM ('{start}-01T00:00Z') TO ('{end}-01T00:00Z');"
        for table in TABLES[:3]
        for start, end in (("2025-12", "2026-01"), ("2026-01", "2026-02"), ("2026-02", "2026-03"))
    )
)
KEPT = sa.text("""
WITH device AS (INSERT INTO sources (device_id, metrics) VALUES (:device_id, '{a,b}') RETURNING id),
days AS (
    INSERT INTO rollups_1d (start, source, place, count, numbers)
    SELECT day, id, 1, 7, 7 FROM device, unnest(ARRAY['2025-12-31Z', '2026-01-31Z']::timestamptz[]) AS day
),
hours AS (
    INSERT INTO rollups_1h (start, source, place, count, numbers) SELECT '2026-01-31T23:00Z', id, 1, 7, 7 FROM device
),
minutes AS (
    INSERT INTO rollups_1m (hour, source, place, minutes, counts, firsts, first_offsets)
    SELECT '2026-01-31T23:00Z', id, 1, '{1}', '{7}', '{1.5}', '{0}' FROM device
)
INSERT INTO readings (ts, source, first, numbers, others)
SELECT ts, id, 1, ARRAY[number], '{"2": true}'
FROM device, (VALUES
    (TIMESTAMPTZ '2026-01-31T23:59:59.999999Z', 1.5), ('2026-02-01T00:00Z', 2.5), ('2026-02-02T00:00Z', 3.5)
) AS given (ts, number)
""")
KEY = sa.text("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = :name")
STORAGE = sa.text("""
SELECT attstorage::text FROM pg_attribute
WHERE attrelid = to_regclass('rollups_1m') AND attnum > 0 AND atttypid::regtype::text LIKE '%[]'
""")
METRIC_COLLATION = sa.text(
    "SELECT collation_name FROM information_schema.columns WHERE (table_name, column_name) = ('sources', 'metrics')"
)
KIND_OF_TABLE = sa.text("SELECT relkind::text FROM pg_class WHERE oid = to_regclass('readings')")
CHUNK_LENGTH = sa.text(
    "SELECT time_interval::text FROM timescaledb_information.dimensions WHERE hypertable_name = 'readings'"
)
