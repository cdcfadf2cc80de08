"""What happens when several do the same at once, as only a real server can show."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from iotsphere.audit.model import AuditFilter, AuditScope
from iotsphere.containers.registry import make_api_key
from iotsphere.identity.accounts import AccountService
from iotsphere.identity.api_keys import ApiKeyService
from iotsphere.identity.errors import (
    ApiKeyNotFoundError,
    CredentialInvalidError,
    EmailTakenError,
    LastAdministratorError,
    LoginRefusedError,
    OrganisationNameTakenError,
)
from iotsphere.identity.idempotency import IdempotencyService
from iotsphere.identity.model import (
    IssuedIntegrationKey,
    Organisation,
    PasswordChange,
    StoredSigningKey,
    TokenPair,
    User,
)
from iotsphere.identity.secrets import PlatformCipher
from iotsphere.identity.service import SessionService
from iotsphere.identity.signing import SIGNING_KEY_LIFE, SigningKeyRing
from iotsphere.kernel.actor import Actor, ActorKind, Role
from iotsphere.kernel.clock import utc_now
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import SigningKeyId
from iotsphere.kernel.lease import LeasedCache
from iotsphere.registry.credentials import CredentialService
from iotsphere.registry.errors import (
    CredentialNotFoundError,
    CredentialRotatedError,
    SerialNumberTakenError,
    TooManyCredentialsError,
)
from iotsphere.registry.model import Device, DeviceFilter, DeviceStatus, IssuedCredential
from iotsphere.registry.service import OutboxService
from repositories.sql import COMMAND_SECONDS
from tests.factories.identity import build_actor, build_attempt, build_integration_key, build_user
from tests.factories.registry import FIRST_DAY, build_event
from tests.fakes.identity import SECRET_KEY, RecordingPasswords, build_tokens
from tests.integration.patience import eventually
from tests.integration.registry.conftest import RegistryProcess, within


async def devices_of(process: RegistryProcess, organisation: Organisation) -> list[Device]:
    page = await process.devices.list_devices(
        organisation_id=organisation.id, narrowed_to=DeviceFilter(), limit=500, cursor=None
    )
    return page.items


async def test_twenty_registrations_of_one_serial_number_make_one_device(
    process: RegistryProcess, ours: Organisation
) -> None:
    answers = await asyncio.gather(
        *(eventually(process.register, ours, serial_number="SN-1", name=str(number)) for number in range(20)),
        return_exceptions=True,
    )

    [registered] = [answer for answer in answers if not isinstance(answer, BaseException)]
    refusals = [answer for answer in answers if isinstance(answer, BaseException)]
    assert {type(refusal) for refusal in refusals} == {SerialNumberTakenError}
    assert await devices_of(process, ours) == [registered[0]]


async def test_no_change_of_labels_is_lost(process: RegistryProcess, ours: Organisation) -> None:
    device, _ = await process.register(ours)

    await asyncio.gather(
        *(
            eventually(
                process.devices.change_device,
                attempt=build_attempt(organisation_id=ours.id),
                device_id=device.id,
                expected_version=None,
                labels={str(number): "set"},
            )
            for number in range(30)
        )
    )

    [changed] = await devices_of(process, ours)
    assert changed.labels == {str(number): "set" for number in range(30)}
    assert changed.version == 31


async def test_a_contact_and_a_change_at_once_lose_nothing_of_each_other(
    process: RegistryProcess, ours: Organisation
) -> None:
    devices = [(await process.register(ours))[0] for _ in range(10)]

    await asyncio.gather(
        *(
            eventually(
                process.devices.record_contact,
                attempt=build_attempt(organisation_id=ours.id),
                device_id=device.id,
            )
            for device in devices
        ),
        *(
            eventually(
                process.devices.change_device,
                attempt=build_attempt(organisation_id=ours.id),
                device_id=device.id,
                expected_version=None,
                labels={"site": "north"},
            )
            for device in devices
        ),
    )

    for device in await devices_of(process, ours):
        assert (device.status, device.labels, device.version) == (DeviceStatus.ACTIVE, {"site": "north"}, 3)
        assert device.last_seen_at is not None


async def test_of_first_contacts_at_once_one_makes_the_device_active_and_the_trail_tells_of_it_once(
    process: RegistryProcess, ours: Organisation
) -> None:
    device, _ = await process.register(ours)
    attempt = build_attempt(kind=ActorKind.DEVICE, id=device.id, organisation_id=ours.id)

    await asyncio.gather(
        *(eventually(process.devices.record_contact, attempt=attempt, device_id=device.id) for _ in range(20))
    )

    [seen] = await devices_of(process, ours)
    assert (seen.status, seen.version) == (DeviceStatus.ACTIVE, 2)
    async with process.unit_of_work() as uow:
        told = await uow.trail.list(
            AuditScope(ours.id), AuditFilter(actor=f"device:{device.id}"), limit=50, cursor=None
        )
    assert [(record.entry.target, record.entry.details) for record in told.items] == [
        (f"device:{device.id}", {"status": "active"})
    ]


async def test_of_changes_that_expect_the_same_version_one_is_made(
    process: RegistryProcess, ours: Organisation
) -> None:
    device, _ = await process.register(ours)

    answers = await asyncio.gather(
        *(
            process.devices.change_device(
                attempt=build_attempt(organisation_id=ours.id),
                device_id=device.id,
                expected_version=1,
                name=f"Name {number}",
            )
            for number in range(10)
        ),
        return_exceptions=True,
    )

    [changed] = [answer for answer in answers if isinstance(answer, Device)]
    assert await devices_of(process, ours) == [changed]


class Sessions:
    """Sessions of a user whose password is no secret."""

    def __init__(self, process: RegistryProcess, user: User) -> None:
        self._user = user
        self.service = SessionService(
            unit_of_work=process.unit_of_work,
            passwords=RecordingPasswords(),
            tokens=build_tokens(process.unit_of_work, utc_now),
            cache=LeasedCache(),
            clock=utc_now,
            new_id=uuid4,
        )

    async def log_in(self) -> TokenPair:
        return await self.service.log_in(attempt=build_attempt(), email=self._user.email, password="correct horse")


@pytest.fixture
async def sessions(process: RegistryProcess, ours: Organisation) -> Sessions:
    user = build_user(organisation_id=ours.id, password_hash="hash of correct horse")
    async with process.unit_of_work() as uow:
        await uow.users.add(user)
        await uow.commit()
    return Sessions(process, user)


async def test_of_refreshes_with_one_token_at_once_one_wins_and_the_session_ends(sessions: Sessions) -> None:
    pair = await sessions.log_in()

    answers = await asyncio.gather(
        *(sessions.service.refresh(attempt=build_attempt(), refresh_token=pair.refresh_token) for _ in range(10)),
        return_exceptions=True,
    )

    [won] = [answer for answer in answers if isinstance(answer, TokenPair)]
    assert {type(answer) for answer in answers} == {TokenPair, CredentialInvalidError}
    with pytest.raises(CredentialInvalidError):
        await sessions.service.refresh(attempt=build_attempt(), refresh_token=won.refresh_token)
    for token in (won.access_token, pair.access_token):
        with pytest.raises(CredentialInvalidError):
            await sessions.service.authenticate(access_token=token)


async def test_refreshes_of_different_sessions_do_not_meet(sessions: Sessions) -> None:
    pairs = [await sessions.log_in() for _ in range(5)]

    refreshed = await asyncio.gather(
        *(sessions.service.refresh(attempt=build_attempt(), refresh_token=pair.refresh_token) for pair in pairs)
    )

    assert len({pair.refresh_token for pair in refreshed}) == 5


async def test_a_log_out_during_a_refresh_ends_the_session_all_the_same(sessions: Sessions) -> None:
    for _ in range(10):
        pair = await sessions.log_in()
        actor = await sessions.service.authenticate(access_token=pair.access_token)

        refreshed, _ = await asyncio.gather(
            sessions.service.refresh(attempt=build_attempt(), refresh_token=pair.refresh_token),
            sessions.service.log_out(attempt=replace(build_attempt(), actor=actor)),
            return_exceptions=True,
        )

        token = refreshed.refresh_token if isinstance(refreshed, TokenPair) else pair.refresh_token
        with pytest.raises(CredentialInvalidError):
            await sessions.service.refresh(attempt=build_attempt(), refresh_token=token)


def accounts(process: RegistryProcess) -> AccountService:
    return AccountService(
        unit_of_work=process.unit_of_work,
        passwords=RecordingPasswords(),
        sessions=LeasedCache(),
        clock=utc_now,
        new_id=uuid4,
    )


async def add_administrator(process: RegistryProcess, organisation: Organisation) -> User:
    admin = build_user(organisation_id=organisation.id, role=Role.ADMIN)
    async with process.unit_of_work() as uow:
        await uow.users.add(admin)
        await uow.commit()
    return admin


async def test_a_key_that_is_being_revoked_makes_no_other(process: RegistryProcess, ours: Organisation) -> None:
    admin = await add_administrator(process, ours)
    key = build_integration_key(organisation_id=ours.id, made_by=admin.id, role=Role.ADMIN)
    async with process.unit_of_work() as uow:
        await uow.api_keys.add(key)
        await uow.commit()
    service = ApiKeyService(unit_of_work=process.unit_of_work, clock=utc_now, new_id=uuid4)
    attempt = replace(build_attempt(), actor=Actor(ActorKind.INTEGRATION, key.id, ours.id, role=Role.ADMIN))

    async with process.unit_of_work() as uow:
        await uow.api_keys.revoke(ours.id, key.id, now=utc_now())
        issuing = asyncio.create_task(
            service.issue_key(attempt=attempt, label="Heir", role=Role.ADMIN, expires_at=None)
        )
        await asyncio.wait([issuing], timeout=0.3)
        assert not issuing.done()
        await uow.commit()

    with pytest.raises(CredentialInvalidError):
        await issuing


async def test_an_address_in_two_spellings_at_once_is_given_to_one(
    process: RegistryProcess, ours: Organisation
) -> None:
    actor = (await add_administrator(process, ours)).as_actor()
    address = f"{uuid4()}@waterworks.example"

    answers = await asyncio.gather(
        *(
            accounts(process).add_user(
                attempt=replace(build_attempt(), actor=actor),
                email=email,
                password="correct horse",
                role=Role.VIEWER,
                name=None,
            )
            for email in (address, address.upper()) * 5
        ),
        return_exceptions=True,
    )

    assert len([answer for answer in answers if isinstance(answer, User)]) == 1
    assert {type(answer) for answer in answers} == {User, EmailTakenError}


async def test_organisations_of_one_name_at_once_are_one(process: RegistryProcess, ours: Organisation) -> None:
    attempt = replace(build_attempt(), actor=(await add_administrator(process, ours)).as_actor())
    name = f"Waterworks {uuid4()}"

    answers = await asyncio.gather(
        *(
            accounts(process).found_organisation(
                attempt=attempt,
                name=name,
                admin_email=f"{uuid4()}@waterworks.example",
                admin_password="correct horse",
            )
            for _ in range(10)
        ),
        return_exceptions=True,
    )

    refusals = [answer for answer in answers if isinstance(answer, BaseException)]
    assert len(refusals) == 9
    assert {type(refusal) for refusal in refusals} == {OrganisationNameTakenError}


async def add_users(process: RegistryProcess, ours: Organisation, number: int, **given: Any) -> list[User]:
    users = [build_user(organisation_id=ours.id, **given) for _ in range(number)]
    async with process.unit_of_work() as uow:
        for user in users:
            await uow.users.add(user)
        await uow.commit()
    return users


@pytest.mark.parametrize("way", ["demoted", "removed", "both"])
async def test_of_administrators_who_all_go_at_once_one_stays(
    process: RegistryProcess, ours: Organisation, way: str
) -> None:
    admins = await add_users(process, ours, 8, role=Role.ADMIN)
    service = accounts(process)

    def go(number: int, admin: User) -> Coroutine[Any, Any, object]:
        attempt = replace(build_attempt(), actor=admin.as_actor())
        if way == "removed" or (way == "both" and number % 2):
            return service.remove_user(attempt=attempt, user_id=admin.id, expected_version=None)
        return service.change_user(attempt=attempt, user_id=admin.id, expected_version=None, role=Role.VIEWER)

    answers = await asyncio.gather(*(go(*each) for each in enumerate(admins)), return_exceptions=True)

    [refusal] = [answer for answer in answers if isinstance(answer, BaseException)]
    assert isinstance(refusal, LastAdministratorError)
    left = await service.list_users(actor=build_actor(organisation_id=ours.id), limit=50, cursor=None)
    assert len([user for user in left.items if user.role is Role.ADMIN]) == 1


async def test_organisations_that_take_one_name_at_once_leave_it_to_one(process: RegistryProcess) -> None:
    organisations = [await process.add_organisation() for _ in range(8)]
    name = f"Waterworks {uuid4()}"

    answers = await asyncio.gather(
        *(
            accounts(process).change_organisation(
                attempt=build_attempt(organisation_id=organisation.id),
                organisation_id=organisation.id,
                expected_version=1,
                name=name,
            )
            for organisation in organisations
        ),
        return_exceptions=True,
    )

    assert len([answer for answer in answers if isinstance(answer, Organisation)]) == 1
    assert {type(answer) for answer in answers} == {Organisation, OrganisationNameTakenError}


async def test_no_log_in_with_the_old_password_outlives_its_change(
    process: RegistryProcess, ours: Organisation
) -> None:
    for _ in range(10):
        [user] = await add_users(process, ours, 1, password_hash="hash of correct horse")
        sessions = Sessions(process, user)
        pair = await sessions.log_in()
        actor = await sessions.service.authenticate(access_token=pair.access_token)

        *answers, _ = await asyncio.gather(
            *(sessions.log_in() for _ in range(4)),
            accounts(process).change_me(
                attempt=replace(build_attempt(), actor=actor),
                known=user,
                expected_version=None,
                password=PasswordChange("correct horse", "battery staple"),
            ),
            return_exceptions=True,
        )

        for answer in answers:
            assert isinstance(answer, TokenPair | LoginRefusedError)
            if isinstance(answer, TokenPair):
                with pytest.raises(CredentialInvalidError):
                    await sessions.service.authenticate(access_token=answer.access_token)
        assert await sessions.service.authenticate(access_token=pair.access_token) == actor


async def test_what_a_user_makes_while_being_removed_goes_with_them_or_is_refused(
    process: RegistryProcess, ours: Organisation
) -> None:
    keys = ApiKeyService(unit_of_work=process.unit_of_work, clock=utc_now, new_id=uuid4)
    for _ in range(10):
        [user] = await add_users(process, ours, 1, role=Role.ADMIN, password_hash="hash of correct horse")
        await add_users(process, ours, 1, role=Role.ADMIN)

        *answers, removed = await asyncio.gather(
            *(
                keys.issue_key(
                    attempt=replace(build_attempt(), actor=user.as_actor()),
                    label="Late",
                    role=Role.VIEWER,
                    expires_at=None,
                )
                for _ in range(3)
            ),
            *(Sessions(process, user).log_in() for _ in range(3)),
            accounts(process).remove_user(
                attempt=build_attempt(organisation_id=ours.id), user_id=user.id, expected_version=None
            ),
            return_exceptions=True,
        )

        assert removed is None
        expected = IssuedIntegrationKey | TokenPair | CredentialInvalidError | LoginRefusedError
        assert [answer for answer in answers if not isinstance(answer, expected)] == []
        assert (await keys.list_keys(organisation_id=ours.id, limit=5, cursor=None)).items == []


async def test_of_revocations_of_one_key_at_once_one_is_done(process: RegistryProcess, ours: Organisation) -> None:
    keys = ApiKeyService(unit_of_work=process.unit_of_work, clock=utc_now, new_id=uuid4)
    [user] = await add_users(process, ours, 1, role=Role.ADMIN)
    attempt = replace(build_attempt(), actor=user.as_actor())
    issued = await keys.issue_key(attempt=attempt, label="Billing", role=Role.ADMIN, expires_at=None)

    answers = await asyncio.gather(
        *(keys.revoke_key(attempt=attempt, key_id=issued.key.id, expected_version=None) for _ in range(8)),
        return_exceptions=True,
    )

    assert [answer for answer in answers if answer is None] == [None]
    assert {type(answer) for answer in answers} == {type(None), ApiKeyNotFoundError}


async def test_claimants_at_once_share_the_events_and_none_gets_too_many(process: RegistryProcess) -> None:
    now = FIRST_DAY.replace(year=1990)
    events = [build_event(due_at=now, created_at=now + timedelta(seconds=number)) for number in range(50)]
    async with process.unit_of_work() as uow:
        for event in events:
            await uow.outbox.add(event)
        await uow.commit()
    outbox = OutboxService(unit_of_work=process.unit_of_work, clock=lambda: now)

    shares = await asyncio.gather(*(outbox.claim_due_events(limit=7) for _ in range(6)))
    rest = await outbox.claim_due_events(limit=50)

    claimed = [event.id for share in (*shares, rest) for event in share]
    assert sorted(claimed) == sorted(event.id for event in events)
    assert max(map(len, shares)) == 7
    for event in events:
        await outbox.settle_events(events=[event])


async def test_a_claimant_does_not_wait_for_another(process: RegistryProcess) -> None:
    now = FIRST_DAY.replace(year=1991)
    first, second = [build_event(due_at=now, created_at=now + timedelta(seconds=number)) for number in range(2)]
    async with process.unit_of_work() as uow:
        await uow.outbox.add(first)
        await uow.outbox.add(second)
        await uow.commit()

    async with process.unit_of_work() as slow:
        assert [event.id for event in await slow.outbox.claim_due(now=now, until=now, limit=1)] == [first.id]
        async with process.unit_of_work() as quick:
            assert [event.id for event in await quick.outbox.claim_due(now=now, until=now, limit=2)] == [second.id]
            await quick.outbox.remove(second.id)
            await quick.commit()
        await slow.outbox.remove(first.id)
        await slow.commit()


@pytest.fixture
def credentials(process: RegistryProcess) -> CredentialService:
    return CredentialService(unit_of_work=process.unit_of_work, clock=utc_now, new_id=uuid4, make_key=make_api_key)


@pytest.mark.parametrize(("grace", "refusal"), [(0, CredentialNotFoundError), (60, CredentialRotatedError)])
async def test_of_rotations_of_one_credential_at_once_one_is_made(
    process: RegistryProcess, ours: Organisation, credentials: CredentialService, grace: int, refusal: type[Exception]
) -> None:
    device, _ = await process.register(ours)
    attempt = build_attempt(organisation_id=ours.id)
    old = await credentials.issue_credential(attempt=attempt, device_id=device.id, label=None, expires_at=None)

    answers = await asyncio.gather(
        *(
            credentials.rotate_credential(
                attempt=attempt,
                device_id=device.id,
                credential_id=old.credential.id,
                grace=timedelta(seconds=grace),
                expected_version=None,
            )
            for _ in range(8)
        ),
        return_exceptions=True,
    )

    [new] = [answer for answer in answers if isinstance(answer, IssuedCredential)]
    assert [type(answer) for answer in answers].count(refusal) == 7
    live = await credentials.list_credentials(device_id=device.id, limit=50, cursor=None)
    assert new.credential in live.items
    assert len(live.items) == (2 if grace else 1)


async def test_issuers_at_once_make_no_more_credentials_than_a_device_may_have(
    process: RegistryProcess, ours: Organisation, credentials: CredentialService
) -> None:
    device, _ = await process.register(ours)
    attempt = build_attempt(organisation_id=ours.id)

    async def issue() -> IssuedCredential:
        return await credentials.issue_credential(attempt=attempt, device_id=device.id, label=None, expires_at=None)

    answers = await asyncio.gather(*(eventually(issue) for _ in range(30)), return_exceptions=True)

    kinds = [type(answer) for answer in answers]
    assert (kinds.count(IssuedCredential), kinds.count(TooManyCredentialsError)) == (20, 10)


def rings(process: RegistryProcess, number: int) -> list[SigningKeyRing]:
    """Give the rings of so many processes with the same secret key."""
    cipher = PlatformCipher("signing-key", SECRET_KEY)
    return [
        SigningKeyRing(unit_of_work=process.unit_of_work, cipher=cipher, clock=utc_now, new_id=uuid4)
        for _ in range(number)
    ]


async def test_first_log_ins_at_once_make_one_signing_key(process: RegistryProcess) -> None:
    async with process.engine.begin() as connection:
        await connection.exec_driver_sql("TRUNCATE signing_keys")

    keys = await asyncio.gather(*(ring.signing_key() for ring in rings(process, 8)))

    assert len({key.id for key in keys}) == 1
    async with process.unit_of_work() as uow:
        assert [stored.id for stored in await uow.signing_keys.list()] == [keys[0].id]


async def test_a_signing_key_that_is_due_is_replaced_once_by_processes_that_see_it_at_once(
    process: RegistryProcess,
) -> None:
    encrypted = PlatformCipher("signing-key", SECRET_KEY).encrypt(b"x" * 32)
    old = StoredSigningKey(SigningKeyId(uuid4()), encrypted, utc_now() - SIGNING_KEY_LIFE)
    async with process.engine.begin() as connection:
        await connection.exec_driver_sql("TRUNCATE signing_keys")
    async with process.unit_of_work() as uow:
        await uow.signing_keys.add(old)
        await uow.commit()

    await asyncio.gather(*(ring.keep_keys() for ring in rings(process, 8)))

    async with process.unit_of_work() as uow:
        stored = await uow.signing_keys.list()
    assert stored[0].id == old.id
    assert len(stored) == 2


async def test_of_twenty_requests_under_one_key_at_once_one_is_done(process: RegistryProcess) -> None:
    service = IdempotencyService(
        unit_of_work=process.unit_of_work, clock=utc_now, cipher=PlatformCipher("idempotency", SECRET_KEY)
    )
    done = 0

    async def work() -> bytes:
        nonlocal done
        done += 1
        await asyncio.sleep(0.05)
        return b"answer"

    actor = f"user:{uuid4()}"
    answers = await asyncio.gather(
        *(
            eventually(service.answer_once, actor=actor, key="key", fingerprint=b"request", work=work)
            for _ in range(20)
        )
    )

    assert answers == [b"answer"] * 20
    assert done == 1


async def test_first_starts_at_once_found_one_platform(lone_process: RegistryProcess) -> None:
    """The server of its own has no organisation but those of other tests, which this one takes away."""
    service = accounts(lone_process)
    async with lone_process.engine.begin() as connection:
        await connection.exec_driver_sql("TRUNCATE organisations CASCADE")

    founded = await asyncio.gather(
        *(service.found_platform(email="admin@iotsphere.local", password="correct horse") for _ in range(5))
    )

    assert sorted(founded) == [False] * 4 + [True]


async def test_who_waits_for_a_lock_in_vain_is_refused_and_closes_the_gate_to_nobody(
    process: RegistryProcess, ours: Organisation
) -> None:
    device, _ = await process.register(ours)

    async with process.unit_of_work() as holder:
        await holder.devices.get(ours.id, device.id, for_update=True)
        with pytest.raises(UnavailableError, match="is busy"):
            await within(
                COMMAND_SECONDS + 1,
                process.devices.change_device(
                    attempt=build_attempt(organisation_id=ours.id),
                    device_id=device.id,
                    expected_version=None,
                    name="New",
                ),
            )
        assert await devices_of(process, ours) == [device]


async def test_who_finds_no_connection_in_time_is_refused_and_closes_the_gate_to_nobody(
    process: RegistryProcess, ours: Organisation
) -> None:
    holders = [process.unit_of_work() for _ in range(10)]
    for holder in holders:
        await holder.__aenter__()

    with pytest.raises(UnavailableError, match="is busy"):
        await within(COMMAND_SECONDS, devices_of(process, ours))
    for holder in holders:
        await holder.__aexit__(None, None, None)

    assert await devices_of(process, ours) == []
