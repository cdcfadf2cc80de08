"""Who may do how much: requests are limited, and guesses at passwords and keys more narrowly."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from prometheus_client import Counter

from iotsphere.kernel.actor import Actor, ActorKind
from iotsphere.kernel.errors import TooManyRequestsError, UnauthenticatedError, UnavailableError
from iotsphere.throttling.errors import GuessesExceededError, RateLimitedError
from iotsphere.throttling.leases import Lease, Leases, Monotonic
from iotsphere.throttling.model import SECOND, Demand, Limit, RequestLimits, Taking, account_of, digest, network_of
from iotsphere.throttling.ports import ThrottleStore

# Passwords. The owner's usual address answers for itself alone, so that nobody elsewhere, and nobody beside them who
# guesses at other accounts, keeps them out.
PASSWORDS_OF_ACCOUNT_AT_ADDRESS = Limit("passwords_of_account_at_address", 30 * SECOND, 10)
PASSWORDS_AT_ADDRESS = Limit("passwords_at_address", 10 * SECOND, 50)
PASSWORDS_OF_ACCOUNT = Limit("passwords_of_account", 60 * SECOND, 20)
# Keys cannot be guessed; this keeps those who try from costing much, and devices whose keys were revoked from
# costing their neighbours theirs.
WRONG_KEYS_OF_ONE_AT_ADDRESS = Limit("wrong_keys_of_one_at_address", 10 * SECOND, 50)
WRONG_KEYS_AT_ADDRESS = Limit("wrong_keys_at_address", SECOND // 5, 100)

THROTTLED = Counter("iotsphere_throttled", "What was refused because a limit was reached", ["limit"])


class Throttle:
    """Asked before anything is done. A request that was admitted is admitted, whatever becomes of it."""

    def __init__(self, *, store: ThrottleStore, limits: RequestLimits, monotonic: Monotonic = time.monotonic) -> None:
        self._store = store
        self._limits = limits
        self._monotonic = monotonic
        self._leases = Leases(store, monotonic=monotonic)

    async def admit(self, actor: Actor) -> None:
        """Count a request of a user or a key, and of their organisation; mostly it waits for nothing.

        :raises RateLimitedError: it is one too many.
        """
        own, shared = self._leases_of(actor)
        if own is not None:
            await self._spend(own)
        if shared is not None:
            try:
                await self._spend(shared)
            except RateLimitedError:
                if own is not None:
                    own.left += 1
                raise

    async def admit_stranger(self, address: str) -> None:
        """Count a request of somebody who shows no credential, by the address.

        :raises RateLimitedError: it is one too many.
        """
        if self._limits.address is not None:
            await self._spend(self._leases.of(self._limits.address, network_of(address)))

    @asynccontextmanager
    async def guessing(self, *, account: str, address: str) -> AsyncIterator[None]:
        """Let a password be compared in the block, unless too many were wrong; ``account`` is the e-mail address.

        A guess is counted before it is made, so that those made at once count too. What ends the block without an
        error was right, and is not counted; neither is what could not be compared.

        :raises GuessesExceededError: too many were wrong, of the account or from the address.
        """
        demands = await self._password_demands(account_of(account), network_of(address))
        _check(await self._store.take(demands))
        try:
            yield
        except (UnavailableError, TooManyRequestsError):
            await self._store.give_back(demands)
            raise
        await self._store.give_back(demands)
        await self._store.add_familiar(account_of(account), network_of(address))

    @asynccontextmanager
    async def showing_key(self, *, key: str, address: str) -> AsyncIterator[None]:
        """Let a key be looked up in the block, unless too many were wrong. Only wrong ones are counted.

        :raises GuessesExceededError: too many were wrong, of the same id or from the address.
        """
        network = network_of(address)
        # What stands before the secret names the key: another secret is another guess at the same one.
        key_id = "_".join(key.split("_", 2)[:2])
        counted = [
            Demand(WRONG_KEYS_OF_ONE_AT_ADDRESS, digest(key_id, network)),
            Demand(WRONG_KEYS_AT_ADDRESS, network),
        ]
        _check(await self._store.take([Demand(demand.limit, demand.subject, wanted=0) for demand in counted]))
        try:
            yield
        except UnauthenticatedError:
            await self._store.take(counted)
            raise

    def _leases_of(self, actor: Actor) -> tuple[Lease | None, Lease | None]:
        limits = self._limits
        limit = limits.user if actor.kind is ActorKind.USER else limits.key
        own = self._leases.of(limit, actor.device_id or actor.id) if limit is not None else None
        if limits.organisation is None:
            return own, None
        return own, self._leases.of(limits.organisation, actor.organisation_id)

    async def _spend(self, lease: Lease) -> None:
        if lease.spend_at_once(self._monotonic()):
            return
        wait = await self._leases.spend(lease)
        if wait:
            THROTTLED.labels(lease.limit.name).inc()
            raise RateLimitedError(
                f"Too many requests of this {lease.limit.name}. Try again later.", retry_after_seconds=wait
            )

    async def _password_demands(self, account: str, network: str) -> Sequence[Demand]:
        of_account_at_address = Demand(PASSWORDS_OF_ACCOUNT_AT_ADDRESS, digest(account, network))
        if await self._store.find_familiar(account, network):
            return [of_account_at_address]
        return [
            of_account_at_address,
            Demand(PASSWORDS_AT_ADDRESS, network),
            Demand(PASSWORDS_OF_ACCOUNT, account),
        ]


def _check(taking: Taking) -> None:
    """:raises GuessesExceededError: it was refused."""
    if taking.refused_by is not None:
        THROTTLED.labels(taking.refused_by.name).inc()
        raise GuessesExceededError(
            "Too many wrong passwords or keys. Try again later.", retry_after_seconds=taking.retry_after_seconds
        )
