"""Every operation of the OpenAPI document, tried by everybody."""

import pytest

from iotsphere.kernel.actor import ActorKind
from tests.integration.access.described import OPERATIONS, Described
from tests.integration.access.table import ANYBODY, TABLE, Access
from tests.integration.access.world import Caller, World


def due(operation: Described, access: Access, caller: Caller) -> int:
    """Say which status a caller has to get for a valid request of what is theirs."""
    if access.provisioning:
        return access.status if caller.kind is ActorKind.PROVISIONING_KEY else 401
    if access.lowest is ANYBODY:
        return access.status
    if caller.kind in {None, ActorKind.PROVISIONING_KEY}:
        return 401
    if caller.is_forged and operation.method != "GET":
        return 403
    if caller.kind is ActorKind.DEVICE:
        is_admitted = access.device and not caller.is_suspended
    else:
        is_admitted = caller.role is not None and caller.role >= access.lowest
        is_admitted &= caller.is_platform_administrator or not access.platform
        is_admitted &= caller.kind is ActorKind.USER or not access.users_alone
    return access.status if is_admitted else 403


def test_the_document_and_the_table_have_the_same_operations() -> None:
    assert OPERATIONS.keys() == TABLE.keys()


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_the_document_says_who_may_call_it(operation: Described) -> None:
    access = TABLE[operation.name]
    role = None if access.lowest is ANYBODY else access.lowest.name.lower()

    assert operation.document["x-minimum-role"] == role
    assert operation.document["x-device-may"] == access.device
    assert operation.document["x-platform-administrator-alone"] == access.platform
    assert operation.document["x-users-alone"] == access.users_alone
    assert bool(operation.document["security"]) == (access.lowest is not ANYBODY or access.provisioning)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
async def test_everybody_gets_what_the_table_says(world: World, operation: Described) -> None:
    access = TABLE[operation.name]
    wrong = {}

    for caller in world.callers:
        things = await world.things_for(operation, world.home_of(caller), device_id=caller.device_id)
        credential = await world.with_spare_credential(caller) if access.spends_caller else caller
        answer = await world.call(operation, access, things, by=credential)
        status = due(operation, access, caller)
        if answer.status != status:
            wrong[caller.name] = f"{answer.status} rather than {status}: {answer.body[:200]!r}"

    assert not wrong, "\n".join(f"{name}: {what}" for name, what in wrong.items())


@pytest.mark.parametrize(
    "operation",
    [operation for operation in OPERATIONS.values() if "device_id" in operation.variables],
    ids=lambda operation: operation.name,
)
async def test_to_a_device_there_is_no_other(world: World, operation: Described) -> None:
    things = await world.things_for(operation, world.ours)

    answer = await world.call(operation, TABLE[operation.name], things, by=world.device)

    assert (answer.status, answer.json["code"]) == (404, "registry.device.not_found")


async def test_the_platform_administrator_sees_every_organisation(world: World) -> None:
    things = await world.things_for(OPERATIONS["get_organisation"], world.theirs)

    answer = await world.call(OPERATIONS["get_organisation"], TABLE["get_organisation"], things, by=world.founder)

    assert (answer.status, answer.json["id"]) == (200, things["organisation_id"])
