"""Who may come in: accounts, sessions, keys and what signs for them."""

from argon2 import PasswordHasher
from dependency_injector import containers, providers

from iotsphere.config import Settings
from iotsphere.identity.accounts import AccountService
from iotsphere.identity.api_keys import ApiKeyService
from iotsphere.identity.idempotency import IdempotencyService
from iotsphere.identity.keys import KeyService
from iotsphere.identity.model import KeyHolder, LiveSession
from iotsphere.identity.secrets import Argon2Passwords, PlatformCipher
from iotsphere.identity.service import SessionService
from iotsphere.identity.signing import SigningKeyRing
from iotsphere.identity.tokens import AccessTokens
from iotsphere.kernel.clock import Clock
from iotsphere.kernel.identifiers import IdSource
from iotsphere.kernel.lease import LeasedCache


class Identity(containers.DeclarativeContainer):
    settings = providers.Dependency(instance_of=Settings)
    stores = providers.DependenciesContainer()
    clock: providers.Dependency[Clock] = providers.Dependency()
    new_id: providers.Dependency[IdSource] = providers.Dependency()

    unit_of_work = stores.registry_unit_of_work.provider
    passwords = providers.Singleton(
        Argon2Passwords, providers.Singleton(PasswordHasher, memory_cost=settings.provided.password_kib)
    )
    ring = providers.Singleton(
        SigningKeyRing,
        unit_of_work=unit_of_work,
        cipher=providers.Singleton(
            PlatformCipher,
            "signing-key",
            settings.provided.secret_key,
            settings.provided.previous_secret_keys,
        ),
        clock=clock,
        new_id=new_id,
    )
    tokens = providers.Singleton(AccessTokens, ring)
    session_cache = providers.Singleton(LeasedCache[LiveSession])
    sessions = providers.Singleton(
        SessionService,
        unit_of_work=unit_of_work,
        passwords=passwords,
        tokens=tokens,
        cache=session_cache,
        clock=clock,
        new_id=new_id,
    )
    key_cache = providers.Singleton(LeasedCache[KeyHolder])
    keys = providers.Singleton(KeyService, unit_of_work=unit_of_work, cache=key_cache, clock=clock)
    idempotency = providers.Singleton(
        IdempotencyService,
        unit_of_work=unit_of_work,
        clock=clock,
        cipher=providers.Singleton(
            PlatformCipher,
            "idempotency",
            settings.provided.secret_key,
            settings.provided.previous_secret_keys,
        ),
    )
    accounts = providers.Singleton(
        AccountService,
        unit_of_work=unit_of_work,
        passwords=passwords,
        sessions=session_cache,
        clock=clock,
        new_id=new_id,
    )
    api_keys = providers.Singleton(ApiKeyService, unit_of_work=unit_of_work, clock=clock, new_id=new_id)
