"""What belongs to another organisation looks, in every respect, as if it did not exist."""

import time
from collections.abc import Mapping
from statistics import median
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.access.described import OPERATIONS, Described
from tests.integration.access.table import TABLE
from tests.integration.access.world import Answer, Caller, World

# Where an id of something may stand in a path; the name of a shadow is none, it belongs to its device.
PLACES = [
    (operation, variable)
    for operation in OPERATIONS.values()
    for variable in operation.variables
    if variable.endswith("_id")
]
VARIANTS: dict[str, dict[str, Any]] = {
    "as it should be": {},
    "of a version": {"headers": {"If-Match": '"999"', "If-None-Match": '"999"'}},
    "idempotent": {"headers": {"Idempotency-Key": "the same"}},
    "with a parameter that is unknown": {"query_string": {"nonsense": "1"}},
    "with a body that is malformed": {"data": b"{", "headers": {"Content-Type": "application/json"}},
    "as HEAD": {"method": "HEAD"},
}
NEVER_ALIKE = {"x-correlation-id", "date"}
PAIRS = 40
TRIES = 4


def written(answer: Answer, ids: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
    """Reduce an answer to what has to be alike."""
    body = answer.body
    for known in (*ids.values(), answer.headers["X-Correlation-ID"]):
        body = body.replace(known.encode(), b"")
    headers = {name: value for name, value in answer.headers.items() if name.lower() not in NEVER_ALIKE}
    return answer.status, headers, body


async def foreign_and_made_up(
    world: World, operation: Described, variable: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Give what stands in the path when one id of it is another organisation's, and when it is nobody's."""
    ours = await world.things_for(operation, world.ours)
    theirs = await world.things_for(operation, world.theirs)
    return ours | {variable: theirs[variable]}, ours | {variable: str(uuid4())}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize(("operation", "variable"), PLACES, ids=lambda place: getattr(place, "name", place))
async def test_it_is_answered_like_what_does_not_exist(
    world: World, operation: Described, variable: str, variant: dict[str, Any]
) -> None:
    foreign, made_up = await foreign_and_made_up(world, operation, variable)
    callers = [world.ours, world.device] if variable == "device_id" else [world.ours]

    for caller in callers:
        answers = [
            await world.call(operation, TABLE[operation.name], things, by=caller, **variant)
            for things in (foreign, made_up)
        ]
        assert written(answers[0], foreign) == written(answers[1], made_up)
        assert answers[0].status in ({404} if not variant else {404, 400, 405, 415, 422})


@pytest.mark.parametrize(
    ("operation", "variable"),
    [(operation, variable) for operation, variable in PLACES if operation.method == "GET"],
    ids=lambda place: getattr(place, "name", place),
)
async def test_it_is_answered_in_the_same_time(world: World, operation: Described, variable: str) -> None:
    foreign, made_up = await foreign_and_made_up(world, operation, variable)

    async def seconds(things: Mapping[str, str]) -> float:
        began = time.perf_counter()
        await world.call(operation, TABLE[operation.name], things, by=world.ours)
        return time.perf_counter() - began

    async def ratio() -> float:
        # In turns, so that whatever else the machine does is done to both.
        pairs = [(await seconds(foreign), await seconds(made_up)) for _ in range(PAIRS)]
        return median(first for first, _ in pairs) / median(second for _, second in pairs)

    # A machine that has other things to do at one moment is not one that tells foreign from made up.
    ratios: list[float] = []
    while len(ratios) < TRIES and not (ratios and 1 / 1.5 < ratios[-1] < 1.5):
        ratios.append(await ratio())

    assert 1 / 1.5 < ratios[-1] < 1.5, ratios


async def referring(world: World, caller: Caller, device_id: str) -> list[Answer]:
    """Name a device in bodies and queries rather than in the path."""
    asset = {"asset_type": "hall", "name": "Hall", "device_id": device_id}
    return [
        await world.send("POST", "/api/v1/assets", by=caller, json=asset, media_type="application/json"),
        await world.send("GET", "/api/v1/assets", by=caller, query_string={"device_id": device_id}),
        await world.send("GET", "/api/v1/maintenance-events", by=caller, query_string={"device_id": device_id}),
    ]


async def test_a_reference_to_it_is_one_to_nothing(world: World) -> None:
    assert world.their_device.device_id is not None
    foreign, made_up = world.their_device.device_id, str(uuid4())

    answers = zip(
        await referring(world, world.ours, foreign), await referring(world, world.ours, made_up), strict=True
    )

    alike = [
        (written(of_theirs, {"id": foreign}), written(of_nobody, {"id": made_up})) for of_theirs, of_nobody in answers
    ]
    assert [of_theirs for of_theirs, _ in alike] == [of_nobody for _, of_nobody in alike]
    assert [status for (status, _, _), _ in alike] == [422, 200, 200]


@pytest.mark.parametrize(
    "operation",
    [
        operation
        for operation in OPERATIONS.values()
        if operation.name.startswith("list_") and not operation.variables and not TABLE[operation.name].platform
    ],
    ids=lambda operation: operation.name,
)
async def test_no_list_shows_it(world: World, operation: Described) -> None:
    things = {"device_id": await world.add_thing("device_id", {}, world.theirs)}
    for variable in ("asset_id", "event_id", "user_id", "key_id", "device_type"):
        await world.add_thing(variable, things, world.theirs)
    theirs = await world.call(operation, TABLE[operation.name], {}, by=world.theirs)

    ours = await world.call(operation, TABLE[operation.name], {}, by=world.ours)

    # What has no id goes by its name; what comes with the platform is everybody's.
    ids, ids_of_ours = (
        {item.get("id") or item["name"] for item in seen.json["items"] if not item.get("is_shipped")}
        for seen in (theirs, ours)
    )
    assert ids
    assert ids.isdisjoint(ids_of_ours)
