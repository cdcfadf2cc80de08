"""Which devices there are, and their credentials."""

from dependency_injector import containers, providers

from iotsphere.identity.secrets import ApiKey, ProvisioningKeyText, hash_secret, make_secret
from iotsphere.kernel.clock import Clock
from iotsphere.kernel.identifiers import CredentialId, IdSource, OrganisationId, ProvisioningKeyId
from iotsphere.kernel.lease import LeasedCache
from iotsphere.registry.contacts import ContactService
from iotsphere.registry.credentials import CredentialService
from iotsphere.registry.ownership import DeviceOwnership
from iotsphere.registry.provisioning import ProvisioningKeyService, ProvisioningService
from iotsphere.registry.service import DeviceRegistryService, OutboxService


def make_api_key(credential_id: CredentialId) -> tuple[str, bytes]:
    """Make a device's API key: the text to show once, and the hash to keep."""
    secret = make_secret()
    return str(ApiKey(credential_id, secret)), hash_secret(secret)


def make_provisioning_key(key_id: ProvisioningKeyId) -> tuple[str, bytes]:
    """Likewise a provisioning key."""
    secret = make_secret()
    return str(ProvisioningKeyText(key_id, secret)), hash_secret(secret)


class Registry(containers.DeclarativeContainer):
    stores = providers.DependenciesContainer()
    clock: providers.Dependency[Clock] = providers.Dependency()
    new_id: providers.Dependency[IdSource] = providers.Dependency()

    unit_of_work = stores.registry_unit_of_work.provider
    devices = providers.Singleton(DeviceRegistryService, unit_of_work=unit_of_work, clock=clock, new_id=new_id)
    device_cache = providers.Singleton(LeasedCache[OrganisationId])
    ownership = providers.Singleton(DeviceOwnership, unit_of_work=unit_of_work, cache=device_cache)
    credentials = providers.Singleton(
        CredentialService,
        unit_of_work=unit_of_work,
        clock=clock,
        new_id=new_id,
        make_key=providers.Object(make_api_key),
    )
    provisioning_keys = providers.Singleton(
        ProvisioningKeyService,
        unit_of_work=unit_of_work,
        clock=clock,
        new_id=new_id,
        make_key=providers.Object(make_provisioning_key),
    )
    provisioning = providers.Singleton(
        ProvisioningService,
        unit_of_work=unit_of_work,
        clock=clock,
        new_id=new_id,
        make_key=providers.Object(make_api_key),
    )
    contacts = providers.Singleton(ContactService, unit_of_work=unit_of_work, clock=clock)
    outbox = providers.Singleton(OutboxService, unit_of_work=unit_of_work, clock=clock)
