from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest

from iotsphere.identity.accounts import AccountService
from iotsphere.identity.errors import (
    CredentialInvalidError,
    EmailTakenError,
    LastAdministratorError,
    OrganisationNameTakenError,
    OrganisationNotFoundError,
    PasswordOwnError,
    PasswordUnfitError,
    PlatformAdministratorRequiredError,
    RoleTooLowError,
    UserNotFoundError,
)
from iotsphere.identity.model import User
from iotsphere.kernel.actor import Actor, ActorKind, Role
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.errors import DomainError, PreconditionFailedError
from iotsphere.kernel.identifiers import UserId
from iotsphere.kernel.lease import LeasedCache
from tests.factories.identity import (
    build_actor,
    build_attempt,
    build_integration_key,
    build_organisation,
    build_session,
    build_user,
)
from tests.fakes.identity import InMemoryOrganisationRepository, KeptSession, ManualClock, RecordingPasswords
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables


class Bench:
    def __init__(self) -> None:
        self.tables = RegistryTables()
        self.clock = ManualClock()
        numbers = count(1)
        self.service = AccountService(
            unit_of_work=partial(InMemoryRegistryUnitOfWork, self.tables),
            passwords=RecordingPasswords(),
            sessions=LeasedCache(),
            clock=self.clock,
            new_id=lambda: UUID(int=next(numbers)),
        )


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_the_first_start_makes_the_platform_administrator(bench: Bench) -> None:
    assert await bench.service.found_platform(email="admin@iotsphere.local", password="correct horse")

    [organisation] = bench.tables.organisations.values()
    [user] = bench.tables.users.values()
    assert (user.organisation_id, user.role, user.is_platform_administrator) == (organisation.id, Role.ADMIN, True)
    assert (user.email, user.name) == ("admin@iotsphere.local", "admin@iotsphere.local")
    assert (user.password_hash, user.created_at) == ("hash of correct horse", bench.clock.now)


async def test_a_later_start_makes_nobody(bench: Bench) -> None:
    await bench.service.found_platform(email="admin@iotsphere.local", password="correct horse")
    before = bench.tables.copy()

    assert not await bench.service.found_platform(email="other@iotsphere.local", password="battery staple")

    assert bench.tables == before


async def test_of_two_first_starts_at_once_the_second_finds_the_platform_founded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def looked_too_early(_: InMemoryOrganisationRepository) -> bool:
        return True

    monkeypatch.setattr(InMemoryOrganisationRepository, "is_empty", looked_too_early)

    assert await bench.service.found_platform(email="admin@iotsphere.local", password="correct horse")
    assert not await bench.service.found_platform(email="admin@iotsphere.local", password="correct horse")


async def test_an_organisation_comes_with_its_administrator(bench: Bench) -> None:
    founder = admit(bench, role=Role.ADMIN)
    organisation, admin = await bench.service.found_organisation(
        attempt=attempt_of(founder),
        name="Waterworks",
        admin_email="ada@waterworks.example",
        admin_password="correct horse",
    )

    assert bench.tables.organisations == {organisation.id: organisation}
    assert bench.tables.users == {founder.id: founder, admin.id: admin}
    assert (admin.organisation_id, admin.role, admin.is_platform_administrator) == (
        organisation.id,
        Role.ADMIN,
        False,
    )


async def test_an_organisation_is_not_kept_when_its_administrator_is_refused(bench: Bench) -> None:
    founder = admit(bench, role=Role.ADMIN)
    taken = build_user(email="ada@waterworks.example")
    bench.tables.users[taken.id] = taken

    with pytest.raises(EmailTakenError):
        await bench.service.found_organisation(
            attempt=attempt_of(founder),
            name="Waterworks",
            admin_email="Ada@Waterworks.example",
            admin_password="correct horse",
        )

    assert bench.tables.organisations == {}
    assert bench.tables.users == {founder.id: founder, taken.id: taken}


async def test_an_organisation_of_a_taken_name_brings_no_user(bench: Bench) -> None:
    founder = admit(bench, role=Role.ADMIN)
    taken = build_organisation(name="Waterworks")
    bench.tables.organisations[taken.id] = taken

    with pytest.raises(OrganisationNameTakenError):
        await bench.service.found_organisation(
            attempt=attempt_of(founder),
            name="Waterworks",
            admin_email="ada@waterworks.example",
            admin_password="correct horse",
        )

    assert bench.tables.users == {founder.id: founder}


async def test_a_user_joins_the_organisation_of_who_adds_them(bench: Bench) -> None:
    actor = admit(bench, role=Role.ADMIN).as_actor()

    user = await bench.service.add_user(
        attempt=replace(build_attempt(), actor=actor),
        email="vi@waterworks.example",
        password="correct horse",
        role=Role.VIEWER,
        name="Vi",
    )

    assert user == await bench.service.get_user(actor=actor, user_id=user.id)
    assert (user.organisation_id, user.role, user.name) == (actor.organisation_id, Role.VIEWER, "Vi")
    assert not user.is_platform_administrator


async def test_a_user_without_a_name_goes_by_the_address(bench: Bench) -> None:
    user = await bench.service.add_user(
        attempt=attempt_of(admit(bench, role=Role.ADMIN)),
        email="vi@waterworks.example",
        password="correct horse",
        role=Role.VIEWER,
        name=None,
    )

    assert user.name == "vi@waterworks.example"


async def test_a_taken_address_is_refused_and_nothing_is_kept(bench: Bench) -> None:
    admin, taken = admit(bench, role=Role.ADMIN), admit(bench, email="vi@waterworks.example")

    with pytest.raises(EmailTakenError):
        await bench.service.add_user(
            attempt=attempt_of(admin),
            email="VI@waterworks.example",
            password="correct horse",
            role=Role.VIEWER,
            name=None,
        )

    assert list(bench.tables.users) == [admin.id, taken.id]


async def test_nobody_sees_the_users_of_another_organisation(bench: Bench) -> None:
    user = build_user()
    bench.tables.users[user.id] = user
    ours, theirs = build_actor(organisation_id=user.organisation_id), build_actor()

    assert (await bench.service.list_users(actor=ours, limit=5, cursor=None)).items == [user]
    assert (await bench.service.list_users(actor=theirs, limit=5, cursor=None)).items == []
    for actor, user_id in [(theirs, user.id), (ours, UserId(uuid4()))]:
        with pytest.raises(UserNotFoundError):
            await bench.service.get_user(actor=actor, user_id=user_id)


def admit(bench: Bench, **given: Any) -> User:
    user = build_user(**given)
    bench.tables.users[user.id] = user
    return user


def open_session(bench: Bench, user: User) -> UUID:
    session = build_session(user_id=user.id, created_at=bench.clock.now)
    bench.tables.sessions[session.id] = KeptSession(session)
    return session.id


def attempt_of(user: User, session_id: UUID | None = None) -> Attempt:
    return replace(build_attempt(), actor=user.as_actor(session_id=session_id))


async def test_an_administrator_changes_what_is_given_and_nothing_else(bench: Bench) -> None:
    admin = admit(bench, role=Role.ADMIN)
    user = admit(bench, organisation_id=admin.organisation_id, role=Role.VIEWER, name="Vi")

    changed = await bench.service.change_user(
        attempt=attempt_of(admin), user_id=user.id, expected_version=1, role=Role.OPERATOR
    )

    assert changed == bench.tables.users[user.id] == replace(user, role=Role.OPERATOR, version=2)
    [entry] = bench.tables.audit.values()
    assert (entry.target, entry.details) == (f"user:{user.id}", {"role": "operator"})


async def test_a_password_that_an_administrator_sets_ends_all_sessions_of_that_user_alone(bench: Bench) -> None:
    admin = admit(bench, role=Role.ADMIN)
    user = admit(bench, organisation_id=admin.organisation_id)
    sessions = [open_session(bench, user) for _ in range(2)]
    other = open_session(bench, admin)

    await bench.service.change_user(
        attempt=attempt_of(admin), user_id=user.id, expected_version=None, password="battery staple"
    )

    assert bench.tables.users[user.id].password_hash == "hash of battery staple"
    assert [bench.tables.sessions[session].revoked_at for session in sessions] == [bench.clock.now] * 2
    assert bench.tables.sessions[other].revoked_at is None
    [entry] = bench.tables.audit.values()
    assert entry.details == {"has_new_password": True}


@pytest.mark.parametrize("change", [{"name": "New"}, {"role": Role.VIEWER}, {"password": "battery staple"}, None])
async def test_an_expected_version_is_kept_to(bench: Bench, change: dict[str, Any] | None) -> None:
    admin = admit(bench, role=Role.ADMIN)
    user = admit(bench, organisation_id=admin.organisation_id, version=3)
    before = bench.tables.copy()
    act = bench.service.remove_user if change is None else partial(bench.service.change_user, **change)

    with pytest.raises(PreconditionFailedError):
        await act(attempt=attempt_of(admin), user_id=user.id, expected_version=2)

    assert bench.tables == before


async def test_a_user_goes_with_their_sessions_and_the_keys_that_they_made(bench: Bench) -> None:
    admin = admit(bench, role=Role.ADMIN)
    user = admit(bench, organisation_id=admin.organisation_id)
    open_session(bench, user)
    kept_session = open_session(bench, admin)
    for maker in (user, admin):
        key = build_integration_key(organisation_id=maker.organisation_id, made_by=maker.id)
        bench.tables.api_keys[key.id] = key

    await bench.service.remove_user(attempt=attempt_of(admin), user_id=user.id, expected_version=None)

    assert list(bench.tables.users) == [admin.id]
    assert list(bench.tables.sessions) == [kept_session]
    assert [key.made_by for key in bench.tables.api_keys.values()] == [admin.id]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ENGINEER, Role.OPERATOR])
async def test_the_last_administrator_stays(bench: Bench, role: Role) -> None:
    admin = admit(bench, role=Role.ADMIN)
    admit(bench, organisation_id=admin.organisation_id, role=Role.OPERATOR)
    admit(bench, role=Role.ADMIN)
    attempt = attempt_of(admin)
    before = bench.tables.copy()

    with pytest.raises(LastAdministratorError):
        await bench.service.change_user(attempt=attempt, user_id=admin.id, expected_version=None, role=role)
    with pytest.raises(LastAdministratorError):
        await bench.service.remove_user(attempt=attempt, user_id=admin.id, expected_version=None)

    assert bench.tables == before
    changed = await bench.service.change_user(
        attempt=attempt, user_id=admin.id, expected_version=None, role=Role.ADMIN, name="Ada"
    )
    assert (changed.role, changed.name) == (Role.ADMIN, "Ada")


async def test_an_administrator_may_go_when_another_stays(bench: Bench) -> None:
    first = admit(bench, role=Role.ADMIN)
    second = admit(bench, organisation_id=first.organisation_id, role=Role.ADMIN)

    await bench.service.change_user(
        attempt=attempt_of(first), user_id=first.id, expected_version=None, role=Role.VIEWER
    )
    with pytest.raises(LastAdministratorError):
        await bench.service.remove_user(attempt=attempt_of(second), user_id=second.id, expected_version=None)

    assert bench.tables.users[second.id] == second


async def test_the_last_platform_administrator_stays_though_others_administer_the_organisation(bench: Bench) -> None:
    founder = admit(bench, role=Role.ADMIN, is_platform_administrator=True)
    admit(bench, organisation_id=founder.organisation_id, role=Role.ADMIN)
    attempt = attempt_of(founder)

    with pytest.raises(LastAdministratorError):
        await bench.service.change_user(attempt=attempt, user_id=founder.id, expected_version=None, role=Role.VIEWER)
    with pytest.raises(LastAdministratorError):
        await bench.service.remove_user(attempt=attempt, user_id=founder.id, expected_version=None)

    elsewhere = admit(bench, role=Role.ADMIN, is_platform_administrator=True)
    await bench.service.remove_user(attempt=attempt, user_id=founder.id, expected_version=None)
    assert elsewhere.id in bench.tables.users


async def test_nobody_becomes_platform_administrator_by_changing_the_password_of_one(bench: Bench) -> None:
    founder = admit(bench, role=Role.ADMIN, is_platform_administrator=True)
    admin = admit(bench, organisation_id=founder.organisation_id, role=Role.ADMIN)
    before = bench.tables.copy()

    for change in ({"password": "battery staple"}, {"role": Role.VIEWER}, {"name": "Nobody"}):
        with pytest.raises(PlatformAdministratorRequiredError):
            await bench.service.change_user(
                attempt=attempt_of(admin), user_id=founder.id, expected_version=None, **change
            )
    with pytest.raises(PlatformAdministratorRequiredError):
        await bench.service.remove_user(attempt=attempt_of(admin), user_id=founder.id, expected_version=None)

    assert bench.tables == before


async def test_nobody_changes_the_users_of_another_organisation(bench: Bench) -> None:
    user, stranger = admit(bench), admit(bench, role=Role.ADMIN)
    before = bench.tables.copy()

    for user_id in (user.id, UserId(uuid4())):
        with pytest.raises(UserNotFoundError):
            await bench.service.change_user(
                attempt=attempt_of(stranger), user_id=user_id, expected_version=None, password="battery staple"
            )
        with pytest.raises(UserNotFoundError):
            await bench.service.remove_user(attempt=attempt_of(stranger), user_id=user_id, expected_version=None)

    assert bench.tables == before


@pytest.mark.parametrize("is_integration", [False, True])
async def test_who_is_demoted_or_taken_away_while_a_password_is_hashed_changes_nothing(
    bench: Bench, is_integration: bool
) -> None:
    admin = admit(bench, role=Role.ADMIN, is_platform_administrator=True)
    admit(bench, organisation_id=admin.organisation_id, role=Role.ADMIN)
    user = admit(bench, organisation_id=admin.organisation_id)
    key = build_integration_key(organisation_id=admin.organisation_id, made_by=admin.id, role=Role.ADMIN)
    bench.tables.api_keys[key.id] = key
    attempt = attempt_of(admin)
    if is_integration:
        by = Actor(ActorKind.INTEGRATION, key.id, admin.organisation_id, role=Role.ADMIN)
        attempt = replace(attempt, actor=by)
    changes = (
        partial(bench.service.add_user, email="a@b.example", password="correct horse", role=Role.ADMIN, name=None),
        partial(bench.service.change_user, user_id=user.id, expected_version=None, password="correct horse"),
        partial(bench.service.found_organisation, name="Own", admin_email="a@b.example", admin_password="a password"),
    )

    async def refused(refusal: type[DomainError]) -> None:
        kept = bench.tables.copy()
        for change in changes:
            with pytest.raises(refusal):
                await change(attempt=attempt)
        assert bench.tables == kept

    bench.tables.users[admin.id] = replace(admin, role=Role.OPERATOR)
    await refused(RoleTooLowError)
    del bench.tables.users[admin.id]
    await refused(CredentialInvalidError)
    if is_integration:
        bench.tables.users[admin.id] = admin
        del bench.tables.api_keys[key.id]
        await refused(CredentialInvalidError)


async def test_ones_own_password_is_not_set_without_the_old_one(bench: Bench) -> None:
    admin = admit(bench, role=Role.ADMIN)
    before = bench.tables.copy()

    with pytest.raises(PasswordOwnError, match="PATCH /me"):
        await bench.service.change_user(
            attempt=attempt_of(admin), user_id=admin.id, expected_version=None, password="battery staple"
        )

    assert bench.tables == before


async def test_an_address_is_nobodys_password(bench: Bench) -> None:
    admin = admit(bench, role=Role.ADMIN)
    address = "vi@waterworks.example"
    user = admit(bench, organisation_id=admin.organisation_id, email=address)
    before = bench.tables.copy()

    with pytest.raises(PasswordUnfitError):
        await bench.service.add_user(
            attempt=attempt_of(admin), email=f"x{address}", password=f"x{address}", role=Role.VIEWER, name=None
        )
    with pytest.raises(PasswordUnfitError):
        await bench.service.change_user(
            attempt=attempt_of(admin), user_id=user.id, expected_version=None, password=address
        )

    assert bench.tables == before


async def test_an_organisation_is_seen_and_named_by_its_own_and_by_the_platform_alone(bench: Bench) -> None:
    organisation = build_organisation(name="Waterworks")
    bench.tables.organisations[organisation.id] = organisation
    own = admit(bench, organisation_id=organisation.id, role=Role.ADMIN)
    founder, stranger = admit(bench, is_platform_administrator=True), admit(bench, role=Role.ADMIN)

    for version, user in enumerate((own, founder), start=1):
        seen = await bench.service.get_organisation(actor=user.as_actor(), organisation_id=organisation.id)
        changed = await bench.service.change_organisation(
            attempt=attempt_of(user),
            organisation_id=organisation.id,
            expected_version=version,
            name=f"Works {version}",
        )
        assert changed == replace(seen, name=f"Works {version}", version=version + 1)
    before = bench.tables.copy()
    with pytest.raises(OrganisationNotFoundError):
        await bench.service.get_organisation(actor=stranger.as_actor(), organisation_id=organisation.id)
    with pytest.raises(OrganisationNotFoundError):
        await bench.service.change_organisation(
            attempt=attempt_of(stranger), organisation_id=organisation.id, expected_version=None, name="Ours"
        )
    with pytest.raises(PreconditionFailedError):
        await bench.service.change_organisation(
            attempt=attempt_of(own), organisation_id=organisation.id, expected_version=1, name="Late"
        )
    assert bench.tables == before


def test_a_user_acts_for_their_organisation_with_their_role() -> None:
    user = build_user(role=Role.ENGINEER)

    assert user.as_actor() == build_actor(id=user.id, organisation_id=user.organisation_id, role=Role.ENGINEER)
    assert replace(user, is_platform_administrator=True).as_actor().is_platform_administrator
