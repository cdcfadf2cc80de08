"""Who did what."""

import time

from dependency_injector import containers, providers

from iotsphere.audit.allowance import RefusalAllowance
from iotsphere.audit.service import AuditService, SealingService
from iotsphere.config import Settings
from iotsphere.kernel.clock import Clock


class Audit(containers.DeclarativeContainer):
    settings = providers.Dependency(instance_of=Settings)
    stores = providers.DependenciesContainer()
    clock: providers.Dependency[Clock] = providers.Dependency()

    unit_of_work = stores.registry_unit_of_work.provider
    allowance = providers.Singleton(RefusalAllowance, monotonic=providers.Object(time.monotonic))
    trail = providers.Singleton(AuditService, unit_of_work=unit_of_work, clock=clock, allowance=allowance)
    sealing = providers.Singleton(
        SealingService,
        unit_of_work=unit_of_work,
        secret_key=settings.provided.secret_key,
        previous_secret_keys=settings.provided.previous_secret_keys,
    )
