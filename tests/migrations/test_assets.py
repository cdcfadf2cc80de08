from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.engine import make_url

from iotsphere.localstack.stack import LocalStack, create_database
from repositories.assets.tables import metadata
from repositories.migrations import HISTORIES, MIGRATION_LOCK, _config, is_current, upgrade

# As a process adds assets that knows no trees yet.
ADD = sa.text("""
    INSERT INTO assets
        (id, organisation_id, asset_type, name, properties, capabilities, created_at, updated_at, version)
    SELECT gen_random_uuid(), gen_random_uuid(), 'pump', 'P' || n, '{}', '[]', now(), now(), 1
    FROM generate_series(1, 3) AS n
""")
PLACES = sa.text("""
    SELECT name, path = int8send(number), parent_id FROM assets JOIN places USING (number) ORDER BY number
""")


# Three have a rated power, two of them a maker too.
DESCRIBED = sa.text("""
    UPDATE assets SET properties = CASE name
        WHEN 'P1' THEN jsonb '{"rated": {"kw": 1.5}, "runs": [1, 2]}'
        WHEN 'P2' THEN jsonb '{"rated": {"kw": 15}, "maker": "Grundfos"}'
        WHEN 'P3' THEN jsonb '{"rated": {"kw": "unknown"}, "maker": null}' END
""")
VALUES = sa.text("""
    SELECT assets.name, array_to_string(paths.name, '.'), kind, num, txt
    FROM property_values JOIN property_paths AS paths USING (path) JOIN assets ON number = asset ORDER BY 1, 2
""")


@pytest.fixture
async def empty_dsn(stack: LocalStack) -> str:
    return await create_database(stack, f"assets_{uuid4().hex[:12]}", timescaledb=False)


def engine_of(dsn: str) -> sa.Engine:
    return sa.create_engine(make_url(dsn).set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)


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
        assert _method(connection, "ix_assets_organisation_id_properties") == (
            "gin (organisation_id, properties jsonb_path_ops) WITH (fastupdate=off)"
        )
        assert _method(connection, "ix_assets_organisation_id_name_prefixes") == (
            "gin (organisation_id, name_prefixes(name)) WITH (fastupdate=off)"
        )
    engine.dispose()


def test_what_was_there_and_what_older_processes_add_are_roots(empty_dsn: str) -> None:
    with engine_of(empty_dsn).begin() as connection:
        command.upgrade(_config("assets", connection), "0002")
    with engine_of(empty_dsn).begin() as connection:
        connection.execute(ADD)

    upgrade("assets", empty_dsn)

    with engine_of(empty_dsn).begin() as connection:
        connection.execute(ADD)
        found = [tuple(row) for row in connection.execute(PLACES)]
    assert sorted(found[:3]) == found[3:] == [(f"P{number}", True, None) for number in (1, 2, 3)]


def test_the_values_of_what_was_there_are_kept_and_of_what_older_processes_change(empty_dsn: str) -> None:
    with engine_of(empty_dsn).begin() as connection:
        command.upgrade(_config("assets", connection), "0005")
    with engine_of(empty_dsn).begin() as connection:
        connection.execute(ADD)
        connection.execute(DESCRIBED)

    upgrade("assets", empty_dsn)

    expected = [
        ("P1", "rated.kw", 0, 1.5, ""),
        ("P1", "runs", 3, 0.0, ""),
        ("P2", "maker", 1, 0.0, "Grundfos"),
        ("P2", "rated.kw", 0, 15.0, ""),
        ("P3", "rated.kw", 1, 0.0, "unknown"),
    ]
    with engine_of(empty_dsn).begin() as connection:
        assert [tuple(row) for row in connection.execute(VALUES)] == expected
        connection.execute(sa.text("DELETE FROM assets"))
        assert connection.execute(VALUES).all() == []
        connection.execute(ADD)
        connection.execute(DESCRIBED)
        assert [tuple(row) for row in connection.execute(VALUES)] == expected


@pytest.mark.parametrize(
    ("name", "sought", "is_found"),
    [
        ("Circulation pump 4711", "pump", True),
        ("Circulation pump 4711", "471 CIRC", True),
        ("Circulation pump 4711", "711", False),
        ("Circulation pump 4711", "pump hall", False),
        ("ÖLKÜHLER-Straße_Ä7", "ölk str ä7", True),
        ("水泵 7号", "水", True),
        ("Cafe\u0301", "café", True),
        ("\uff30ump \uff11\uff12", "pump 12", True),
        ("x" * 40, "x" * 30, True),
        ("...", "pump", False),
    ],
)
def test_a_name_is_found_by_what_its_words_begin_with(
    assets_dsn: str, name: str, sought: str, is_found: bool
) -> None:
    with engine_of(assets_dsn).connect() as connection:
        asked = sa.select(sa.func.name_prefixes(name).op("@>")(sa.func.name_words(sought)))
        assert connection.execute(asked).scalar_one() is is_found


def test_a_child_that_is_added_before_its_parent_has_a_place_is_refused(empty_dsn: str) -> None:
    upgrade("assets", empty_dsn)
    pair = sa.text("""
        INSERT INTO assets (id, organisation_id, asset_type, name, properties, capabilities, created_at, updated_at,
                            version, parent_id)
        SELECT md5('asset' || n)::uuid, md5('ours')::uuid, 'pump', 'P', '{}', '[]', now(), now(), 1,
               CASE n WHEN 2 THEN md5('asset1')::uuid END
        FROM generate_series(1, 2) AS n
    """)

    with pytest.raises(sa.exc.IntegrityError, match="path"), engine_of(empty_dsn).begin() as connection:
        connection.execute(pair)


def test_every_foreign_key_is_led_by_an_index(empty_dsn: str) -> None:
    """Without one, taking an asset away reads the whole of the table that refers to it."""
    upgrade("assets", empty_dsn)

    with engine_of(empty_dsn).connect() as connection:
        inspector = sa.inspect(connection)
        for table in metadata.tables:
            leading = {index["column_names"][0] for index in inspector.get_indexes(table)}
            leading.add(inspector.get_pk_constraint(table)["constrained_columns"][0])
            for key in inspector.get_foreign_keys(table):
                assert key["constrained_columns"][0] in leading, (table, key["name"])


def test_who_migrates_waits_for_others_longer_than_a_request_may(empty_dsn: str) -> None:
    limits = "-c statement_timeout=1000 -c lock_timeout=1000"
    limited = make_url(empty_dsn).update_query_dict({"options": limits}).render_as_string(hide_password=False)

    with ThreadPoolExecutor() as others, engine_of(empty_dsn).begin() as connection:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        waiting = others.submit(upgrade, "assets", limited)
        with pytest.raises(FutureTimeoutError):
            waiting.result(timeout=1.5)
        connection.rollback()
        waiting.result()

    assert is_current("assets", empty_dsn)


def test_the_history_leads_back_to_an_empty_database(empty_dsn: str) -> None:
    upgrade("assets", empty_dsn)

    with engine_of(empty_dsn).begin() as connection:
        command.downgrade(_config("assets", connection), "base")

    with engine_of(empty_dsn).connect() as connection:
        assert sa.inspect(connection).get_table_names() == ["alembic_version"]


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
