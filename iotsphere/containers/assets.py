"""What things are, what they belong to, and what was done to them."""

from dependency_injector import containers, providers

from iotsphere.assets.aggregates import AssetAggregateService
from iotsphere.assets.asset_files import AssetFileService
from iotsphere.assets.device_types import DeviceTypeService
from iotsphere.assets.history import AssetHistoryService
from iotsphere.assets.known_types import KnownTypes
from iotsphere.assets.maintenance import MaintenanceService
from iotsphere.assets.relationships import RelationshipService
from iotsphere.assets.searching import AssetSearchService
from iotsphere.assets.service import AssetService
from iotsphere.assets.shipped_types import ShippedTypes
from iotsphere.kernel.clock import Clock
from iotsphere.kernel.identifiers import IdSource


class Assets(containers.DeclarativeContainer):
    stores = providers.DependenciesContainer()
    clock: providers.Dependency[Clock] = providers.Dependency()
    new_id: providers.Dependency[IdSource] = providers.Dependency()

    unit_of_work = stores.assets_unit_of_work.provider
    assets = providers.Singleton(
        AssetService,
        unit_of_work=unit_of_work,
        moving=stores.moving_unit_of_work.provider,
        clock=clock,
        new_id=new_id,
    )
    history = providers.Singleton(AssetHistoryService, unit_of_work=unit_of_work)
    search = providers.Singleton(AssetSearchService, unit_of_work=stores.search_unit_of_work.provider)
    aggregates = providers.Singleton(AssetAggregateService, unit_of_work=stores.figures_unit_of_work.provider)
    relationships = providers.Singleton(RelationshipService, unit_of_work=unit_of_work, clock=clock)
    shipped_types = providers.Singleton(ShippedTypes.load)
    known_types = providers.Singleton(KnownTypes, unit_of_work=unit_of_work, shipped=shipped_types)
    maintenance = providers.Singleton(MaintenanceService, unit_of_work=unit_of_work, clock=clock, new_id=new_id)
    device_types = providers.Singleton(
        DeviceTypeService,
        unit_of_work=unit_of_work,
        shipped=shipped_types,
        clock=clock,
        known_types=known_types,
    )
    files = providers.Singleton(
        AssetFileService,
        unit_of_work=unit_of_work,
        assets=assets,
        clock=clock,
        new_id=new_id,
    )
