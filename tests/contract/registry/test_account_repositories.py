from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from iotsphere.identity.errors import (
    EmailTakenError,
    OrganisationNameTakenError,
    OrganisationNotFoundError,
    UserNotFoundError,
)
from iotsphere.kernel.actor import Role
from iotsphere.kernel.errors import MalformedInputError
from iotsphere.kernel.identifiers import OrganisationId, UserId
from tests.contract.registry.stores import RegistryStore
from tests.factories.identity import FIRST_DAY, build_session, build_user


async def test_the_platform_is_empty_until_there_is_an_organisation(store: RegistryStore) -> None:
    async with store.unit_of_work() as uow:
        assert await uow.organisations.is_empty()
    await store.add_organisation()

    async with store.unit_of_work() as uow:
        assert not await uow.organisations.is_empty()


async def test_an_organisation_has_its_name_for_itself(store: RegistryStore) -> None:
    await store.add_organisation(name="Wasserwerk 'Süd'")

    with pytest.raises(OrganisationNameTakenError) as refusal:
        await store.add_organisation(name="Wasserwerk 'Süd'")

    assert refusal.value.code == "identity.organisation.name_taken"


async def test_a_user_comes_back_with_every_field(store: RegistryStore) -> None:
    ours = await store.add_organisation()
    user = await store.add_user(
        ours,
        email="Ödile.Perator+x@Waterworks.example",
        name="Ödile 😀",
        role=Role.ENGINEER,
        password_hash="$argon2id$v=19$...",
        created_at=FIRST_DAY + timedelta(microseconds=1),
        is_platform_administrator=True,
        version=5,
    )

    async with store.unit_of_work() as uow:
        assert await uow.users.get(ours.id, user.id) == user
        assert await uow.users.find_by_email(user.email) == user
        assert (await uow.users.list(ours.id, limit=1, cursor=None)).items == [user]


@pytest.mark.parametrize("role", Role)
async def test_every_role_can_be_kept(store: RegistryStore, role: Role) -> None:
    ours = await store.add_organisation()
    user = await store.add_user(ours, role=role)

    async with store.unit_of_work() as uow:
        assert (await uow.users.get(ours.id, user.id)).role is role


async def test_an_address_is_taken_on_the_whole_platform_whatever_its_case(store: RegistryStore) -> None:
    ours, theirs = await store.add_organisation(), await store.add_organisation()
    user = await store.add_user(ours, email="Anna@example.org")

    for organisation in (ours, theirs):
        with pytest.raises(EmailTakenError):
            await store.add_user(organisation, email="anna@EXAMPLE.org")

    async with store.unit_of_work() as uow:
        assert await uow.users.find_by_email("ANNA@example.ORG") == user
        assert await uow.users.find_by_email("ann_@example.org") is None
        assert await uow.users.find_by_email("' OR 1=1 --") is None


async def test_a_user_is_not_found_in_another_organisation(store: RegistryStore) -> None:
    ours, theirs = await store.add_organisation(), await store.add_organisation()
    user = await store.add_user(ours)

    async with store.unit_of_work() as uow:
        for organisation_id, user_id in [
            (theirs.id, user.id),
            (ours.id, UserId(uuid4())),
            (OrganisationId(uuid4()), user.id),
        ]:
            with pytest.raises(UserNotFoundError):
                await uow.users.get(organisation_id, user_id)
        assert (await uow.users.list(theirs.id, limit=10, cursor=None)).items == []


async def test_users_are_listed_page_by_page_in_the_order_of_creation(store: RegistryStore) -> None:
    ours = await store.add_organisation()
    users = [await store.add_user(ours) for _ in range(3)]

    async with store.unit_of_work() as uow:
        first = await uow.users.list(ours.id, limit=2, cursor=None)
        second = await uow.users.list(ours.id, limit=2, cursor=first.next_cursor)
        with pytest.raises(MalformedInputError):
            await uow.users.list(ours.id, limit=2, cursor="made-up")

    assert first.items + second.items == users
    assert second.next_cursor is None


async def test_a_user_is_saved_with_every_field_and_no_other_is(store: RegistryStore) -> None:
    ours = await store.add_organisation()
    user, other = await store.add_user(ours), await store.add_user(ours)
    changed = replace(user, name="Ödile", role=Role.ADMIN, password_hash="another", version=2)

    async with store.unit_of_work() as uow:
        assert await uow.users.get(ours.id, user.id, for_update=True) == user
        await uow.users.save(changed)
        await uow.users.save(build_user(organisation_id=ours.id))
        await uow.commit()

    async with store.unit_of_work() as uow:
        assert (await uow.users.list(ours.id, limit=10, cursor=None)).items == [changed, other]


async def test_a_removed_user_takes_their_sessions_tokens_and_keys_along(store: RegistryStore) -> None:
    ours = await store.add_organisation()
    removed, other = await store.add_user(ours), await store.add_user(ours)
    await store.add_api_key(removed)
    key = await store.add_api_key(other)
    session = build_session(user_id=removed.id)
    async with store.unit_of_work() as uow:
        await uow.sessions.add(session)
        await uow.sessions.add_refresh_token(b"token", session.id)
        await uow.commit()

    async with store.unit_of_work() as uow:
        await uow.users.remove(removed.id)
        await uow.users.remove(UserId(uuid4()))
        await uow.commit()

    async with store.unit_of_work() as uow:
        assert (await uow.users.list(ours.id, limit=10, cursor=None)).items == [other]
        assert (await uow.api_keys.list(ours.id, limit=10, cursor=None)).items == [key]
        assert await uow.users.find_by_session(session.id, now=session.created_at) is None
        assert await uow.sessions.find_refresh_token(b"token", now=session.created_at) is None


async def test_administrators_are_those_of_the_organisation_and_of_the_platform(store: RegistryStore) -> None:
    ours, theirs = await store.add_organisation(), await store.add_organisation()
    expected = [
        await store.add_user(ours, role=Role.ADMIN),
        await store.add_user(ours, role=Role.ADMIN),
        await store.add_user(theirs, role=Role.VIEWER, is_platform_administrator=True),
    ]
    for organisation, role in [(ours, Role.OPERATOR), (theirs, Role.ADMIN)]:
        await store.add_user(organisation, role=role)

    async with store.unit_of_work() as uow:
        assert await uow.users.list_administrators(ours.id) == sorted(expected, key=lambda user: user.id)


async def test_an_organisation_is_found_listed_and_renamed(store: RegistryStore) -> None:
    first, second, third = [await store.add_organisation() for _ in range(3)]
    renamed = replace(second, name="Wasserwerk 'Süd'", version=2)

    async with store.unit_of_work() as uow:
        assert await uow.organisations.get(second.id, for_update=True) == second
        await uow.organisations.save(renamed)
        await uow.organisations.save(renamed)
        await uow.commit()

    async with store.unit_of_work() as uow:
        page = await uow.organisations.list(limit=2, cursor=None)
        rest = await uow.organisations.list(limit=2, cursor=page.next_cursor)
        assert page.items + rest.items == [first, renamed, third]
        assert rest.next_cursor is None
        with pytest.raises(MalformedInputError):
            await uow.organisations.list(limit=2, cursor="made-up")
        with pytest.raises(OrganisationNotFoundError):
            await uow.organisations.get(OrganisationId(uuid4()))


async def test_an_organisation_cannot_take_the_name_of_another(store: RegistryStore) -> None:
    first, second = await store.add_organisation(), await store.add_organisation()

    with pytest.raises(OrganisationNameTakenError):
        async with store.unit_of_work() as uow:
            await uow.organisations.save(replace(second, name=first.name))

    async with store.unit_of_work() as uow:
        assert await uow.organisations.get(second.id) == second
