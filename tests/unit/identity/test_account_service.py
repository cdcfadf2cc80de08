from dataclasses import replace
from functools import partial
from itertools import count
from uuid import UUID, uuid4

import pytest

from iotsphere.identity.accounts import AccountService
from iotsphere.identity.errors import EmailTakenError, OrganisationNameTakenError, UserNotFoundError
from iotsphere.kernel.actor import Role
from iotsphere.kernel.identifiers import UserId
from tests.factories.identity import build_actor, build_attempt, build_organisation, build_user
from tests.fakes.identity import InMemoryOrganisationRepository, ManualClock, RecordingPasswords
from tests.fakes.registry import InMemoryRegistryUnitOfWork, RegistryTables


class Bench:
    def __init__(self) -> None:
        self.tables = RegistryTables()
        self.clock = ManualClock()
        numbers = count(1)
        self.service = AccountService(
            unit_of_work=partial(InMemoryRegistryUnitOfWork, self.tables),
            passwords=RecordingPasswords(),
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
    organisation, admin = await bench.service.found_organisation(
        attempt=build_attempt(),
        name="Waterworks",
        admin_email="ada@waterworks.example",
        admin_password="correct horse",
    )

    assert bench.tables.organisations == {organisation.id: organisation}
    assert bench.tables.users == {admin.id: admin}
    assert (admin.organisation_id, admin.role, admin.is_platform_administrator) == (
        organisation.id,
        Role.ADMIN,
        False,
    )


async def test_an_organisation_is_not_kept_when_its_administrator_is_refused(bench: Bench) -> None:
    taken = build_user(email="ada@waterworks.example")
    bench.tables.users[taken.id] = taken

    with pytest.raises(EmailTakenError):
        await bench.service.found_organisation(
            attempt=build_attempt(),
            name="Waterworks",
            admin_email="Ada@Waterworks.example",
            admin_password="correct horse",
        )

    assert bench.tables.organisations == {}
    assert bench.tables.users == {taken.id: taken}


async def test_an_organisation_of_a_taken_name_brings_no_user(bench: Bench) -> None:
    taken = build_organisation(name="Waterworks")
    bench.tables.organisations[taken.id] = taken

    with pytest.raises(OrganisationNameTakenError):
        await bench.service.found_organisation(
            attempt=build_attempt(),
            name="Waterworks",
            admin_email="ada@waterworks.example",
            admin_password="correct horse",
        )

    assert bench.tables.users == {}


async def test_a_user_joins_the_organisation_of_who_adds_them(bench: Bench) -> None:
    actor = build_actor()

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
        attempt=build_attempt(), email="vi@waterworks.example", password="correct horse", role=Role.VIEWER, name=None
    )

    assert user.name == "vi@waterworks.example"


async def test_a_taken_address_is_refused_and_nothing_is_kept(bench: Bench) -> None:
    taken = build_user(email="vi@waterworks.example")
    bench.tables.users[taken.id] = taken

    with pytest.raises(EmailTakenError):
        await bench.service.add_user(
            attempt=build_attempt(),
            email="VI@waterworks.example",
            password="correct horse",
            role=Role.VIEWER,
            name=None,
        )

    assert list(bench.tables.users) == [taken.id]


async def test_nobody_sees_the_users_of_another_organisation(bench: Bench) -> None:
    user = build_user()
    bench.tables.users[user.id] = user
    ours, theirs = build_actor(organisation_id=user.organisation_id), build_actor()

    assert (await bench.service.list_users(actor=ours, limit=5, cursor=None)).items == [user]
    assert (await bench.service.list_users(actor=theirs, limit=5, cursor=None)).items == []
    for actor, user_id in [(theirs, user.id), (ours, UserId(uuid4()))]:
        with pytest.raises(UserNotFoundError):
            await bench.service.get_user(actor=actor, user_id=user_id)


def test_a_user_acts_for_their_organisation_with_their_role() -> None:
    user = build_user(role=Role.ENGINEER)

    assert user.as_actor() == build_actor(id=user.id, organisation_id=user.organisation_id, role=Role.ENGINEER)
    assert replace(user, is_platform_administrator=True).as_actor().is_platform_administrator
