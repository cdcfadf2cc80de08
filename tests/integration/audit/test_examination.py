"""What the doctor finds out about a registry on a real server."""

from iotsphere.kernel.findings import Finding
from repositories.availability import StoreGate
from repositories.examining import SqlAlchemyStoreExaminer, database_names
from repositories.registry.audit import TRAIL_GUARDS
from repositories.shadow.examining import RedisShadowExaminer
from repositories.shadow.store import ShadowStore
from repositories.sql import SqlAlchemyStoreProbe
from tests.integration.audit.conftest import TrailProcess

Examined = dict[str, Finding]


async def examine(process: TrailProcess) -> Examined:
    examiner = SqlAlchemyStoreExaminer(
        "registry",
        SqlAlchemyStoreProbe(process.engine, process.gate),
        foreign=["iotsphere_assets", "iotsphere_telemetry"],
        guards=TRAIL_GUARDS,
    )
    return {finding.check: finding for finding in await examiner.examine()}


async def test_a_store_as_it_is_set_up_is_well(process: TrailProcess) -> None:
    examined = await examine(process)

    assert examined.keys() == {"answers", "schema", "role", "rights", "isolation", "guards"}
    assert all(finding.is_well for finding in examined.values())


async def test_a_guard_that_was_switched_off_is_named(process: TrailProcess) -> None:
    await process.execute("ALTER TABLE audit_entries DISABLE TRIGGER audit_entry_removed")
    examined = await examine(process)
    await process.execute("ALTER TABLE audit_entries ENABLE TRIGGER audit_entry_removed")

    assert not examined["guards"].is_well
    assert "audit_entry_removed" in examined["guards"].detail
    assert "audit_entry_changed" not in examined["guards"].detail


async def test_a_schema_of_another_version_is_told(process: TrailProcess) -> None:
    step = "UPDATE alembic_version SET version_num = lpad((version_num::int {})::text, 4, '0')"
    await process.execute(step.format("- 1"))
    examined = await examine(process)
    await process.execute(step.format("+ 1"))

    assert [check for check, finding in examined.items() if not finding.is_well] == ["schema"]
    assert "iotsphere migrate" in examined["schema"].detail


async def test_a_table_that_the_role_may_not_write_is_named(process: TrailProcess) -> None:
    await process.execute("REVOKE UPDATE ON outbox FROM CURRENT_USER")
    examined = await examine(process)
    await process.execute("GRANT UPDATE ON outbox TO CURRENT_USER")

    assert [check for check, finding in examined.items() if not finding.is_well] == ["rights"]
    assert "outbox" in examined["rights"].detail


async def test_the_shadow_store_as_it_is_set_up_is_well(shadow_url: str) -> None:
    store = ShadowStore(shadow_url, StoreGate("shadow"))
    examined = await RedisShadowExaminer(store).examine()
    await store.close()

    assert [finding.check for finding in examined] == ["answers", "durability", "role"]
    assert all(finding.is_well for finding in examined)


def test_databases_are_named_as_their_addresses_do() -> None:
    assert database_names("postgresql://a:b@/one?host=/x", None, "postgresql://h:1/two") == ["one", "two"]
