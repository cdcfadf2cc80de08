from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from iotsphere.kernel.errors import MalformedInputError
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.kernel.pagination import encode_cursor
from iotsphere.registry.errors import DeviceNotFoundError, SerialNumberTakenError
from iotsphere.registry.model import Device, DeviceFilter, DeviceStatus
from tests.contract.registry.stores import ANYTHING, RegistryStore
from tests.factories.registry import FIRST_DAY, build_device

MOMENT = datetime(2026, 11, 20, 17, 23, 0, 123456, tzinfo=UTC)


async def test_a_device_comes_back_with_every_field(store: RegistryStore) -> None:
    ours = await store.add_organisation()

    device = await store.add_device(
        ours,
        serial_number="Ä/1 \\ % _ '",
        device_type="water-heater",
        name="Böiler 😀",
        labels={"site": "north", "": "", "A": "ä\u0308", "k:v": 'x"\\\n'},
        status=DeviceStatus.SUSPENDED,
        last_seen_at=MOMENT,
        created_at=MOMENT - timedelta(microseconds=1),
        updated_at=MOMENT + timedelta(microseconds=1),
        version=7,
    )

    assert await store.get_device(ours, device.id) == device
    assert await store.devices(ours) == [device]
    async with store.unit_of_work() as uow:
        assert await uow.devices.get(ours.id, device.id, for_update=True) == device


async def test_a_device_is_found_whichever_organisation_it_is_in(store: RegistryStore) -> None:
    theirs = await store.add_device(await store.add_organisation())
    retired = await store.add_device(await store.add_organisation(), status=DeviceStatus.RETIRED)

    async with store.unit_of_work() as uow:
        assert await uow.devices.find(theirs.id) == theirs
        assert await uow.devices.find(retired.id) is None
        assert await uow.devices.find(DeviceId(uuid4())) is None


async def test_of_many_devices_those_of_the_organisation_are_found_with_their_status_and_type(
    store: RegistryStore,
) -> None:
    ours, theirs = await store.add_organisation(), await store.add_organisation()
    active = await store.add_device(ours, status=DeviceStatus.ACTIVE)
    suspended = await store.add_device(ours, status=DeviceStatus.SUSPENDED)
    retired = await store.add_device(ours, status=DeviceStatus.RETIRED)
    foreign = await store.add_device(theirs)
    await store.add_device(ours)

    asked = [active.id, DeviceId(uuid4()), suspended.id, retired.id, foreign.id, active.id]
    async with store.unit_of_work() as uow:
        assert await uow.devices.find_statuses(ours.id, asked) == {
            active.id: DeviceStatus.ACTIVE,
            suspended.id: DeviceStatus.SUSPENDED,
        }
        assert await uow.devices.find_statuses(ours.id, []) == {}
        assert await uow.devices.find_types(ours.id, asked) == {
            active.id: active.device_type,
            suspended.id: suspended.device_type,
        }
        assert await uow.devices.find_types(ours.id, []) == {}
        assert await uow.devices.find_serial_numbers(ours.id, asked) == {
            active.id: active.serial_number,
            suspended.id: suspended.serial_number,
        }
        assert await uow.devices.find_serial_numbers(ours.id, []) == {}


async def test_devices_are_found_by_their_serial_numbers(store: RegistryStore) -> None:
    ours, theirs = await store.add_organisation(), await store.add_organisation()
    first, second = await store.add_device(ours, serial_number="SN-1"), await store.add_device(ours)
    await store.add_device(ours, serial_number="SN-2", status=DeviceStatus.RETIRED)
    await store.add_device(theirs, serial_number="SN-3")
    again = await store.add_device(ours, serial_number="SN-2")
    asked = {"SN-1", "SN-2", "SN-3", "sn-1", "", second.serial_number, "\N{HEAVY BLACK HEART}'; --"}

    async with store.unit_of_work() as uow:
        assert await uow.devices.find_ids(ours.id, asked) == {
            "SN-1": first.id,
            "SN-2": again.id,
            second.serial_number: second.id,
        }
        assert await uow.devices.find_ids(ours.id, []) == {}


async def test_a_device_that_was_never_seen_comes_back_so(store: RegistryStore) -> None:
    ours = await store.add_organisation()

    device = await store.add_device(ours, labels={}, last_seen_at=None)

    assert await store.get_device(ours, device.id) == device


async def test_nothing_is_kept_without_a_commit(store: RegistryStore) -> None:
    ours = await store.add_organisation()
    kept = await store.add_device(ours)

    async with store.unit_of_work() as uow:
        await uow.devices.add(build_device(organisation_id=ours.id))
        await uow.devices.save(replace(kept, name="Other"))
        assert (await uow.devices.get(ours.id, kept.id)).name == "Other"

    assert await store.devices(ours) == [kept]


async def test_nothing_is_kept_of_what_an_error_ended(store: RegistryStore) -> None:
    ours = await store.add_organisation()

    async def fail_halfway() -> None:
        async with store.unit_of_work() as uow:
            await uow.devices.add(build_device(organisation_id=ours.id))
            raise DeviceNotFoundError

    with pytest.raises(DeviceNotFoundError):
        await fail_halfway()

    assert await store.devices(ours) == []


async def test_of_many_devices_those_are_added_whose_serial_number_is_free(store: RegistryStore) -> None:
    ours, theirs = await store.add_organisation(), await store.add_organisation()
    taken = await store.add_device(ours, serial_number="taken")
    await store.add_device(ours, serial_number="retired", status=DeviceStatus.RETIRED)
    await store.add_device(theirs, serial_number="theirs")
    drafted = [
        build_device(organisation_id=ours.id, serial_number=serial_number, name=name, labels={"a": 'ä"\\\n'})
        for serial_number, name in [
            ("b", "1"),
            ("taken", "2"),
            ("retired", "3"),
            ("theirs", "4"),
            ("b", "5"),
            ("a", "6"),
        ]
    ]

    async with store.unit_of_work() as uow:
        added = await uow.devices.add_untaken(drafted)
        await uow.commit()

    expected = [device for device in drafted if device.name in "1346"]
    assert added == {device.id for device in expected}
    assert await store.devices(ours) == [taken, *expected]


async def test_of_many_devices_none_is_kept_without_a_commit(store: RegistryStore) -> None:
    ours = await store.add_organisation()

    async with store.unit_of_work() as uow:
        await uow.devices.add_untaken([build_device(organisation_id=ours.id) for _ in range(3)])

    assert await store.devices(ours) == []


async def test_a_serial_number_is_taken_within_its_organisation_alone(store: RegistryStore) -> None:
    ours, theirs = await store.add_organisation(), await store.add_organisation()
    first = await store.add_device(ours, serial_number="SN")

    with pytest.raises(SerialNumberTakenError) as refusal:
        await store.add_device(ours, serial_number="SN")
    their_device = await store.add_device(theirs, serial_number="SN")
    in_small_letters = await store.add_device(ours, serial_number="sn")

    assert "'SN'" in refusal.value.detail
    assert await store.devices(ours) == [first, in_small_letters]
    assert await store.devices(theirs) == [their_device]


async def test_a_saved_device_is_what_was_saved(store: RegistryStore) -> None:
    ours = await store.add_organisation()
    device = await store.add_device(ours)
    changed = device.change(name="New", labels={"b": "2"}, status=DeviceStatus.SUSPENDED, changed_at=MOMENT)

    await store.save(changed)

    assert await store.get_device(ours, device.id) == changed


async def test_a_device_that_is_not_there_is_not_found(store: RegistryStore) -> None:
    ours = await store.add_organisation()

    with pytest.raises(DeviceNotFoundError):
        await store.get_device(ours, DeviceId(uuid4()))


async def test_another_organisation_finds_nothing(store: RegistryStore) -> None:
    ours, theirs = await store.add_organisation(), await store.add_organisation()
    device = await store.add_device(ours)

    with pytest.raises(DeviceNotFoundError):
        await store.get_device(theirs, device.id)
    assert await store.devices(theirs) == []


async def test_a_retired_device_is_not_found_and_its_serial_number_is_free(store: RegistryStore) -> None:
    ours = await store.add_organisation()
    retired = replace(await store.add_device(ours, serial_number="SN"), status=DeviceStatus.RETIRED)

    await store.save(retired)

    with pytest.raises(DeviceNotFoundError):
        await store.get_device(ours, retired.id)
    assert await store.devices(ours, DeviceFilter(status=DeviceStatus.RETIRED)) == []
    successor = await store.add_device(ours, serial_number="SN")
    assert await store.devices(ours) == [successor]


async def contact(store: RegistryStore, device_id: DeviceId, seen_at: datetime) -> bool:
    async with store.unit_of_work() as uow:
        made_active = await uow.devices.save_contact(device_id, seen_at=seen_at)
        await uow.commit()
    return made_active


async def test_the_first_contact_changes_a_provisioned_device(store: RegistryStore) -> None:
    ours = await store.add_organisation()
    device, other = await store.add_device(ours), await store.add_device(ours)

    assert await contact(store, device.id, MOMENT)

    activated = replace(
        device, status=DeviceStatus.ACTIVE, last_seen_at=MOMENT, updated_at=MOMENT, version=device.version + 1
    )
    assert await store.devices(ours) == [activated, other]


async def test_contacts_of_many_devices_are_no_change_and_never_go_back(store: RegistryStore) -> None:
    ours = await store.add_organisation()
    never, earlier, later, other = [
        await store.add_device(ours, status=DeviceStatus.ACTIVE, last_seen_at=seen_at)
        for seen_at in (None, MOMENT - timedelta(days=1), MOMENT + timedelta(microseconds=1), MOMENT)
    ]

    async with store.unit_of_work() as uow:
        nobody = DeviceId(uuid4())
        await uow.devices.save_contacts(dict.fromkeys([later.id, earlier.id, nobody, never.id], MOMENT))
        await uow.commit()

    seen = [replace(never, last_seen_at=MOMENT), replace(earlier, last_seen_at=MOMENT), later, other]
    assert await store.devices(ours) == seen


@pytest.mark.parametrize("status", [DeviceStatus.ACTIVE, DeviceStatus.SUSPENDED])
async def test_a_later_contact_is_no_change_and_never_goes_back(store: RegistryStore, status: DeviceStatus) -> None:
    ours = await store.add_organisation()
    device = await store.add_device(ours, status=status, last_seen_at=None, version=4)

    for seen_at in (MOMENT, MOMENT + timedelta(seconds=10), MOMENT - timedelta(days=1)):
        assert not await contact(store, device.id, seen_at)

    assert await store.get_device(ours, device.id) == replace(device, last_seen_at=MOMENT + timedelta(seconds=10))


async def test_a_contact_of_a_device_that_is_not_there_changes_nothing(store: RegistryStore) -> None:
    ours = await store.add_organisation()
    device = await store.add_device(ours)

    assert not await contact(store, DeviceId(uuid4()), MOMENT)

    assert await store.devices(ours) == [device]


async def test_a_list_is_in_the_order_of_creation_and_then_of_ids(store: RegistryStore) -> None:
    ours = await store.add_organisation()
    later = await store.add_device(ours)
    at_once = [await store.add_device(ours, created_at=FIRST_DAY) for _ in range(5)]

    assert await store.devices(ours) == [*sorted(at_once, key=lambda device: device.id), later]


async def test_pages_join_to_the_whole_list_whatever_is_added_meanwhile(store: RegistryStore) -> None:
    ours = await store.add_organisation()
    devices = [await store.add_device(ours) for _ in range(7)]
    seen: list[Device] = []
    cursor: str | None = None

    for page_number in range(4):
        async with store.unit_of_work() as uow:
            page = await uow.devices.list(ours.id, ANYTHING, limit=2, cursor=cursor)
        seen += page.items
        cursor = page.next_cursor
        assert (cursor is None) == (page_number == 3)
        await store.add_device(ours, created_at=FIRST_DAY.replace(year=2000))

    assert seen == devices


async def test_a_page_that_ends_with_the_list_has_no_next(store: RegistryStore) -> None:
    ours = await store.add_organisation()
    devices = [await store.add_device(ours) for _ in range(2)]

    async with store.unit_of_work() as uow:
        page = await uow.devices.list(ours.id, ANYTHING, limit=2, cursor=None)

    assert (page.items, page.next_cursor) == (devices, None)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "!",
        "made-up",
        encode_cursor("2026-11-20T00:00:00Z"),
        encode_cursor("2026-11-20T00:00:00Z", "not an id"),
        encode_cursor("2026-11-20T00:00:00", UUID(int=0)),
        encode_cursor("0001-01-01T00:00:00+14:00", UUID(int=0)),
        encode_cursor("9999-12-31T23:59:59-14:00", UUID(int=0)),
        encode_cursor(UUID(int=0), "2026-11-20T00:00:00Z"),
    ],
)
async def test_a_cursor_that_no_list_gave_out_is_malformed(store: RegistryStore, cursor: str) -> None:
    async with store.unit_of_work() as uow:
        with pytest.raises(MalformedInputError):
            await uow.devices.list(OrganisationId(uuid4()), ANYTHING, limit=2, cursor=cursor)


@pytest.mark.parametrize(("moment", "is_found"), [("0001-01-01T00:00:00Z", True), ("9999-12-31T23:59:59Z", False)])
async def test_a_made_up_cursor_at_the_ends_of_time_does_no_harm(
    store: RegistryStore, moment: str, is_found: bool
) -> None:
    ours = await store.add_organisation()
    device = await store.add_device(ours)
    cursor = encode_cursor(moment, UUID(int=0))

    async with store.unit_of_work() as uow:
        page = await uow.devices.list(ours.id, ANYTHING, limit=2, cursor=cursor)

    assert page.items == [device] * is_found


@pytest.mark.parametrize(
    ("narrowed_to", "is_found"),
    [
        (DeviceFilter(), True),
        (DeviceFilter(device_type="pump"), True),
        (DeviceFilter(device_type="pum"), False),
        (DeviceFilter(status=DeviceStatus.ACTIVE), True),
        (DeviceFilter(status=DeviceStatus.SUSPENDED), False),
        (DeviceFilter(any_label=(("site", "north"),)), True),
        (DeviceFilter(any_label=(("site", "North"),)), False),
        (DeviceFilter(any_label=(("site", ""),)), False),
        (DeviceFilter(any_label=(("missing", "north"),)), False),
        (DeviceFilter(any_label=(("floor", "3"),)), True),
        (DeviceFilter(any_label=(("empty", ""),)), True),
        (DeviceFilter(any_label=(('"', "\\"),)), True),
        (DeviceFilter(any_label=(("site", "south"), ("floor", "3"))), True),
        (DeviceFilter(any_label=(("site", "south"), ("floor", "4"))), False),
        (DeviceFilter(q="sn-7"), True),
        (DeviceFilter(q="ROOF"), True),
        (DeviceFilter(q="7\nRoof"), False),
        (DeviceFilter(q="%"), False),
        (DeviceFilter(q="100%_sure"), False),
        (DeviceFilter(q="S_-7"), False),
        (DeviceFilter(q="/"), True),
        (DeviceFilter(q="\\"), False),
        (DeviceFilter(q="' OR 1=1 --"), False),
        (DeviceFilter(device_type="pump", any_label=(("floor", "3"),), q="roof"), True),
        (DeviceFilter(device_type="robot", any_label=(("floor", "3"),), q="roof"), False),
    ],
)
async def test_a_list_is_narrowed_by_everything_that_is_asked(
    store: RegistryStore, narrowed_to: DeviceFilter, is_found: bool
) -> None:
    ours, theirs = await store.add_organisation(), await store.add_organisation()
    given = {
        "serial_number": "SN-7",
        "name": "Roof pump N/W",
        "status": DeviceStatus.ACTIVE,
        "labels": {"site": "north", "floor": "3", "empty": "", '"': "\\"},
    }
    device = await store.add_device(ours, **given)
    await store.add_device(theirs, **given)

    assert await store.devices(ours, narrowed_to) == [device] * is_found
