from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest

from iotsphere.identity.api_keys import ApiKeyService
from iotsphere.identity.errors import ApiKeyNotFoundError, CredentialInvalidError, RoleAboveMakerError
from iotsphere.identity.model import IssuedIntegrationKey
from iotsphere.identity.secrets import ApiKey, secret_matches
from iotsphere.kernel.actor import Actor, ActorKind, Role
from iotsphere.kernel.errors import PreconditionFailedError
from iotsphere.kernel.identifiers import CredentialId
from tests.factories.identity import build_actor, build_attempt, build_user
from tests.fakes.identity import ManualClock
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables


class Bench:
    def __init__(self) -> None:
        self.tables = RegistryTables()
        self.clock = ManualClock()
        self.maker = build_user(role=Role.ADMIN)
        self.tables.users[self.maker.id] = self.maker
        self.actor = self.maker.as_actor()
        self.attempt = replace(build_attempt(), actor=self.actor)
        self.service = ApiKeyService(
            unit_of_work=partial(InMemoryRegistryUnitOfWork, self.tables), clock=self.clock, new_id=uuid4
        )

    async def issue(self, *, role: Role = Role.OPERATOR, actor: Actor | None = None) -> IssuedIntegrationKey:
        actor = actor or self.actor
        return await self.service.issue_key(
            attempt=replace(self.attempt, actor=actor),
            label="Billing",
            role=role,
            expires_at=self.clock.now + timedelta(days=1),
        )


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_key_is_kept_as_a_hash_and_told_once(bench: Bench) -> None:
    issued = await bench.issue()

    key = issued.key
    assert bench.tables.api_keys == {key.id: key}
    shown = ApiKey.parse(issued.api_key)
    assert shown.credential_id == key.id
    assert secret_matches(shown.secret, key.secret_hash)
    assert shown.secret not in repr(bench.tables)
    assert (key.organisation_id, key.made_by) == (bench.actor.organisation_id, bench.actor.id)
    assert (key.role, key.label, key.created_at) == (Role.OPERATOR, "Billing", bench.clock.now)
    assert key.expires_at == bench.clock.now + timedelta(days=1)


async def test_the_trail_tells_of_a_key_without_its_secret(bench: Bench) -> None:
    issued = await bench.issue()
    await bench.service.revoke_key(attempt=bench.attempt, key_id=issued.key.id, expected_version=1)

    made, revoked = bench.tables.audit.values()
    assert made.target == revoked.target == f"integration:{issued.key.id}"
    assert made.details == {"label": "Billing", "role": "operator"}


@pytest.mark.parametrize("role", Role)
async def test_a_role_is_never_above_the_makers(bench: Bench, role: Role) -> None:
    for maker in Role:
        actor = replace(bench.actor, role=maker)
        if role <= maker:
            assert (await bench.issue(role=role, actor=actor)).key.role is role
        else:
            with pytest.raises(RoleAboveMakerError):
                await bench.issue(role=role, actor=actor)

    assert len(bench.tables.api_keys) == len(Role) - role + 1


async def test_a_key_that_a_key_makes_belongs_to_the_same_user(bench: Bench) -> None:
    first = await bench.issue(role=Role.ADMIN)
    integration = Actor(ActorKind.INTEGRATION, first.key.id, bench.actor.organisation_id, role=Role.ADMIN)

    second = await bench.issue(actor=integration)

    assert second.key.made_by == bench.actor.id


async def test_a_key_that_was_revoked_a_moment_ago_makes_no_other(bench: Bench) -> None:
    revoked = Actor(ActorKind.INTEGRATION, uuid4(), bench.actor.organisation_id, role=Role.ADMIN)

    with pytest.raises(CredentialInvalidError):
        await bench.issue(actor=revoked)

    assert bench.tables.api_keys == {}


async def test_who_was_taken_away_or_demoted_a_moment_ago_makes_no_key(bench: Bench) -> None:
    bench.tables.users[bench.maker.id] = replace(bench.maker, role=Role.ENGINEER)
    with pytest.raises(RoleAboveMakerError):
        await bench.issue(role=Role.OPERATOR)
    del bench.tables.users[bench.maker.id]
    with pytest.raises(CredentialInvalidError):
        await bench.issue(role=Role.VIEWER)

    assert bench.tables == RegistryTables()


async def test_a_revoked_key_is_gone_and_revoking_it_again_is_refused(bench: Bench) -> None:
    issued, other = await bench.issue(), await bench.issue()
    ours = bench.actor.organisation_id

    await bench.service.revoke_key(attempt=bench.attempt, key_id=issued.key.id, expected_version=None)

    assert (await bench.service.list_keys(organisation_id=ours, limit=5, cursor=None)).items == [other.key]
    with pytest.raises(ApiKeyNotFoundError):
        await bench.service.get_key(organisation_id=ours, key_id=issued.key.id)
    with pytest.raises(ApiKeyNotFoundError):
        await bench.service.revoke_key(attempt=bench.attempt, key_id=issued.key.id, expected_version=None)


async def test_nobody_reaches_the_keys_of_another_organisation(bench: Bench) -> None:
    key = (await bench.issue()).key
    theirs = build_actor()

    assert (await bench.service.list_keys(organisation_id=theirs.organisation_id, limit=5, cursor=None)).items == []
    for organisation_id, key_id in [(theirs.organisation_id, key.id), (key.organisation_id, CredentialId(uuid4()))]:
        with pytest.raises(ApiKeyNotFoundError):
            await bench.service.get_key(organisation_id=organisation_id, key_id=key_id)
    with pytest.raises(ApiKeyNotFoundError):
        await bench.service.revoke_key(
            attempt=replace(bench.attempt, actor=theirs), key_id=key.id, expected_version=None
        )

    assert bench.tables.api_keys == {key.id: key}


async def test_a_key_has_one_version(bench: Bench) -> None:
    key = (await bench.issue()).key

    with pytest.raises(PreconditionFailedError):
        await bench.service.revoke_key(attempt=bench.attempt, key_id=key.id, expected_version=2)

    assert bench.tables.api_keys == {key.id: key}
