"""The stores as the application sees them: engines, clients, gates and units of work.

Engines and clients are Singletons, not Resources: an asynchronous Resource would turn everything that depends on it
into an awaitable.
"""

from collections.abc import Set as AbstractSet
from functools import partial
from secrets import token_hex

from dependency_injector import containers, providers

from iotsphere.config import Settings
from iotsphere.throttling.fallback import FallbackThrottleStore
from iotsphere.throttling.process import ProcessThrottleStore
from iotsphere.workflows.examination import StoreExaminer
from repositories.assets.aggregates import FIGURES_SECONDS
from repositories.assets.search_settings import SEARCH_SETTINGS
from repositories.assets.unit_of_work import (
    SqlAlchemyAssetFiguresUnitOfWork,
    SqlAlchemyAssetSearchUnitOfWork,
    SqlAlchemyAssetsUnitOfWork,
)
from repositories.availability import StoreGate
from repositories.examining import SqlAlchemyStoreExaminer, database_names
from repositories.latest.store import RedisLatestStore
from repositories.registry.audit import TRAIL_GUARDS
from repositories.registry.keys import PostgresChangeFeed
from repositories.registry.unit_of_work import SqlAlchemyRegistryUnitOfWork
from repositories.shadow.examining import RedisShadowExaminer
from repositories.shadow.inventory import RedisShadowInventory
from repositories.shadow.keeper import RedisShadowStoreKeeper
from repositories.shadow.probe import RedisShadowProbe
from repositories.shadow.shadows import RedisShadowRepository
from repositories.shadow.store import ShadowStore
from repositories.shadow.stream import RedisChangeStream
from repositories.sql import SqlAlchemyStoreProbe, create_store_engine
from repositories.telemetry.archive_files import ParquetArchiveFiles
from repositories.telemetry.probe import SqlAlchemyTelemetryProbe
from repositories.telemetry.reading import create_telemetry_engine
from repositories.telemetry.rollups import COMMAND_SECONDS as ROLLUP_SECONDS
from repositories.telemetry.unit_of_work import (
    SqlAlchemyColumnstoreUnitOfWork,
    SqlAlchemyJournalUnitOfWork,
    SqlAlchemyKeepingUnitOfWork,
    SqlAlchemyRollupUnitOfWork,
    SqlAlchemyTelemetryUnitOfWork,
    SqlAlchemyTelemetryView,
)
from repositories.throttling.store import RedisThrottleStore

SEARCHES = 5
PATIENCE_SECONDS = 4.0
KEEPING_SECONDS = 30.0
MOVING_SECONDS = 60.0
COMPRESSING_SECONDS = 3600.0


class Stores(containers.DeclarativeContainer):
    """Connections are made when they are first needed: the application starts with every store down."""

    settings = providers.Dependency(instance_of=Settings)

    registry_engine = providers.Singleton(create_store_engine, settings.provided.registry_dsn)
    registry_gate = providers.Singleton(StoreGate, "registry")
    registry_unit_of_work = providers.Factory(SqlAlchemyRegistryUnitOfWork, registry_engine, registry_gate)
    change_feed = providers.Singleton(PostgresChangeFeed, settings.provided.registry_dsn)

    assets_engine = providers.Singleton(
        create_store_engine, settings.provided.assets_dsn, settings=providers.Object(SEARCH_SETTINGS)
    )
    assets_gate = providers.Singleton(StoreGate, "assets")
    assets_unit_of_work = providers.Factory(SqlAlchemyAssetsUnitOfWork, assets_engine, assets_gate)

    # How the connections of searches are told to plan is no good for anything else. The server stops them after 1.8
    # seconds; where it is slow to heed that, a search was too costly all the same, and no store is out of reach.
    search_engine = providers.Singleton(
        create_store_engine,
        settings.provided.assets_dsn,
        pool_size=SEARCHES,
        command_seconds=PATIENCE_SECONDS,
        settings=providers.Object(SEARCH_SETTINGS),
    )
    search_unit_of_work = providers.Factory(SqlAlchemyAssetSearchUnitOfWork, search_engine, assets_gate)

    # Figures over a million assets take seconds. Few are worked out at a time.
    figures_engine = providers.Singleton(
        create_store_engine,
        settings.provided.assets_dsn,
        pool_size=4,
        command_seconds=FIGURES_SECONDS,
        settings=providers.Object(SEARCH_SETTINGS),
    )
    figures_unit_of_work = providers.Factory(SqlAlchemyAssetFiguresUnitOfWork, figures_engine, assets_gate)

    # To move an asset takes half a minute or so with a million others below it. Few are moved at a time.
    moving_engine = providers.Singleton(
        create_store_engine, settings.provided.assets_dsn, pool_size=2, command_seconds=MOVING_SECONDS
    )
    moving_unit_of_work = providers.Factory(SqlAlchemyAssetsUnitOfWork, moving_engine, assets_gate)

    telemetry_engine = providers.Singleton(create_telemetry_engine, settings.provided.telemetry_dsn)
    telemetry_gate = providers.Singleton(StoreGate, "telemetry")
    telemetry_unit_of_work = providers.Factory(SqlAlchemyTelemetryUnitOfWork, telemetry_engine, telemetry_gate)
    telemetry_view = providers.Factory(SqlAlchemyTelemetryView, telemetry_engine, telemetry_gate)
    # For what no request waits for, and may take its time.
    rollup_engine = providers.Singleton(
        create_store_engine, settings.provided.telemetry_dsn, pool_size=1, command_seconds=ROLLUP_SECONDS
    )
    rollup_unit_of_work = providers.Factory(SqlAlchemyRollupUnitOfWork, rollup_engine, telemetry_gate)
    rollup_view = providers.Factory(SqlAlchemyRollupUnitOfWork, telemetry_engine, telemetry_gate)

    # What nobody waits for may take longer, such as to drop a month of readings.
    keeping_engine = providers.Singleton(
        create_store_engine, settings.provided.telemetry_dsn, pool_size=1, command_seconds=KEEPING_SECONDS
    )
    keeping_unit_of_work = providers.Factory(SqlAlchemyKeepingUnitOfWork, keeping_engine, telemetry_gate)

    # To compress a chunk takes a minute for ten million readings or so. One of the two looks whether anybody waits.
    columnstore_engine = providers.Singleton(
        create_store_engine, settings.provided.telemetry_dsn, pool_size=2, command_seconds=COMPRESSING_SECONDS
    )
    columnstore_unit_of_work = providers.Factory(SqlAlchemyColumnstoreUnitOfWork, columnstore_engine, telemetry_gate)

    archive_files = providers.Singleton(ParquetArchiveFiles, settings.provided.archive_dir)

    shadow_gate = providers.Singleton(StoreGate, "shadow")
    shadow_store = providers.Singleton(ShadowStore, settings.provided.shadow_url, shadow_gate)
    shadows = providers.Singleton(RedisShadowRepository, shadow_store)
    shadow_keeper = providers.Singleton(RedisShadowStoreKeeper, shadow_store)
    shadow_inventory = providers.Singleton(RedisShadowInventory, shadow_store)
    shadow_changes = providers.Singleton(RedisChangeStream, shadow_store)
    journal_unit_of_work = providers.Factory(SqlAlchemyJournalUnitOfWork, telemetry_engine, telemetry_gate)

    # In the same Redis, with a gate of its own: whoever may ask the database instead waits less long.
    latest_gate = providers.Singleton(StoreGate, "latest")
    latest_values = providers.Singleton(
        RedisLatestStore, settings.provided.shadow_url, latest_gate, new_token=providers.Object(partial(token_hex, 8))
    )

    # In the same Redis, with a gate of its own: what is too slow for a limit may be fast enough for a shadow.
    throttling_gate = providers.Singleton(StoreGate, "throttling")
    shared_throttle = providers.Singleton(RedisThrottleStore, settings.provided.shadow_url, throttling_gate)
    throttle = providers.Singleton(
        FallbackThrottleStore, shared=shared_throttle, own=providers.Singleton(ProcessThrottleStore)
    )

    registry_probe = providers.Singleton(SqlAlchemyStoreProbe, registry_engine, registry_gate)
    assets_probe = providers.Singleton(SqlAlchemyStoreProbe, assets_engine, assets_gate)
    telemetry_probe = providers.Singleton(SqlAlchemyTelemetryProbe, telemetry_engine, telemetry_gate)
    probes = providers.Dict(
        registry=registry_probe,
        assets=assets_probe,
        telemetry=telemetry_probe,
        shadow=providers.Singleton(RedisShadowProbe, shadow_store),
    )

    # Where two stores lie on one server, neither role may reach the other's database.
    databases = providers.Callable(
        database_names,
        settings.provided.registry_dsn,
        settings.provided.assets_dsn,
        settings.provided.telemetry_dsn,
    )
    examiners: providers.FactoryAggregate[StoreExaminer] = providers.FactoryAggregate(
        registry=providers.Factory(
            SqlAlchemyStoreExaminer, "registry", registry_probe, foreign=databases, guards=TRAIL_GUARDS
        ),
        assets=providers.Factory(SqlAlchemyStoreExaminer, "assets", assets_probe, foreign=databases),
        telemetry=providers.Factory(SqlAlchemyStoreExaminer, "telemetry", telemetry_probe, foreign=databases),
        shadow=providers.Factory(RedisShadowExaminer, shadow_store),
    )


async def close_stores(stores: providers.Container[Stores], *, unknown: AbstractSet[str] = frozenset()) -> None:
    """Close every connection; what is still at work on one has ended by then.

    :param unknown: the stores of which no address is known, and to which there is no connection.
    """
    engines = {
        "registry": [stores.registry_engine],
        "assets": [stores.assets_engine, stores.search_engine, stores.figures_engine, stores.moving_engine],
        "telemetry": [
            stores.telemetry_engine,
            stores.rollup_engine,
            stores.keeping_engine,
            stores.columnstore_engine,
        ],
    }
    for store in engines.keys() - unknown:
        for engine in engines[store]:
            await engine().dispose()
    if "shadow" not in unknown:
        await stores.shadow_store().close()
        await stores.shared_throttle().close()
        await stores.latest_values().close()
