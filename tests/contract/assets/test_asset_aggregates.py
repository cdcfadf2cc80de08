"""What figures over assets come to, and in which groups."""

from collections.abc import Iterable
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from iotsphere.assets.aggregate import (
    MAX_GROUP_BYTES,
    Aggregation,
    Groups,
    MeasureOp,
    read_grouping,
    read_measure,
)
from iotsphere.assets.errors import AggregateOverflowError, AssetNotFoundError
from iotsphere.assets.model import Asset
from iotsphere.assets.ports import AssetsUnitOfWorkFactory
from iotsphere.assets.predicate import read_predicate
from iotsphere.assets.search import AssetFilter
from iotsphere.kernel.identifiers import OrganisationId
from tests.factories.assets import build_asset

ALL = AssetFilter()
COUNT = (MeasureOp.COUNT, None)
KW = "properties.kw"
# All that there are, too; but they are told by their documents.
PUMPS = AssetFilter(asset_type="pump")


@pytest.fixture
def ours() -> OrganisationId:
    return OrganisationId(uuid4())


async def keep(unit_of_work: AssetsUnitOfWorkFactory, *assets: Asset) -> None:
    async with unit_of_work() as uow:
        for asset in assets:
            await uow.assets.add(asset)
        await uow.commit()


async def keep_described(unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, *documents: Any) -> None:
    await keep(unit_of_work, *(build_asset(organisation_id=ours, properties=document) for document in documents))


async def worked_out(
    unit_of_work: AssetsUnitOfWorkFactory,
    ours: OrganisationId,
    group_by: Iterable[str],
    *measures: tuple[MeasureOp, str | None],
    narrowed_to: AssetFilter = ALL,
) -> Groups:
    asked = Aggregation(
        tuple(map(read_grouping, group_by)), tuple(read_measure(op, of) for op, of in measures), narrowed_to
    )
    async with unit_of_work() as uow:
        return await uow.aggregates.aggregate(ours, asked)


def told(groups: Groups) -> list[tuple[Any, ...]]:
    assert groups.total == len(groups.groups)
    return [(*group.key, *group.figures) for group in groups.groups]


@pytest.mark.parametrize("narrowed_to", [ALL, PUMPS])
async def test_values_of_all_kinds_are_groups_and_so_is_having_none(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, narrowed_to: AssetFilter
) -> None:
    values = ["b", "b", "b", 1, 1.0, "a", "1", True, "true", None, [1], {"x": 1}, 2.5]
    documents = [{"at": {"v": value}} for value in values]
    await keep_described(unit_of_work, ours, *documents, {}, {"at": "b"})

    found = told(await worked_out(unit_of_work, ours, ["properties.at.v"], COUNT, narrowed_to=narrowed_to))

    assert found == [(None, 5), ("b", 3), (1, 2), (2.5, 1), ("1", 1), ("a", 1), ("true", 1), (True, 1)]


@pytest.mark.parametrize("narrowed_to", [ALL, PUMPS])
async def test_figures_are_of_numbers_alone_and_null_where_there_are_none(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, narrowed_to: AssetFilter
) -> None:
    of_pumps: list[dict[str, Any]] = [{"kw": 1}, {"kw": 2.5}, {"kw": 4}, {"kw": "7"}, {"kw": True}, {"kw": [9]}, {}]
    documents = [{"maker": "x"} | document for document in of_pumps]
    await keep_described(unit_of_work, ours, *documents, {"maker": "y", "kw": None}, {"kw": 3})
    figures = [(op, KW) for op in MeasureOp]

    groups = await worked_out(unit_of_work, ours, ["properties.maker"], COUNT, *figures, narrowed_to=narrowed_to)

    by_key = {group.key[0]: group.figures for group in groups.groups}
    assert by_key["x"][:7] == (7, 3, 7.5, 2.5, 1, 4, 2.5)
    assert by_key["x"][7:] == pytest.approx((3.7, 3.85, 3.97))
    assert by_key["y"] == (1, 0, *[None] * 8)
    assert by_key[None] == (1, 1, *[3] * 8)


@pytest.mark.parametrize("narrowed_to", [ALL, PUMPS])
async def test_without_groups_there_is_one_even_of_nothing(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, narrowed_to: AssetFilter
) -> None:
    ask = partial(worked_out, unit_of_work, ours, [], COUNT, (MeasureOp.AVG, KW), narrowed_to=narrowed_to)
    assert told(await ask()) == [(0, None)]

    await keep_described(unit_of_work, ours, {"kw": 1}, {"kw": 2}, {})

    assert told(await ask()) == [(3, 1.5)]


@pytest.mark.parametrize("narrowed_to", [ALL, PUMPS])
async def test_of_nothing_there_are_no_groups(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, narrowed_to: AssetFilter
) -> None:
    found = await worked_out(unit_of_work, ours, ["properties.maker"], COUNT, narrowed_to=narrowed_to)

    assert (found.groups, found.total) == ([], 0)


@pytest.mark.parametrize("narrowed_to", [ALL, PUMPS])
async def test_long_texts_are_told_apart_by_all_that_they_are(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, narrowed_to: AssetFilter
) -> None:
    long = "x" * 64
    await keep_described(unit_of_work, ours, *({"a.b": text} for text in (long + "1", long + "2", long, long)))

    found = told(await worked_out(unit_of_work, ours, ['properties."a.b"'], COUNT, narrowed_to=narrowed_to))

    assert found == [(long, 2), (long + "1", 1), (long + "2", 1)]


@pytest.mark.parametrize("narrowed_to", [ALL, PUMPS])
async def test_as_many_groups_are_shown_as_do_not_take_too_much_room(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, narrowed_to: AssetFilter
) -> None:
    fourth = MAX_GROUP_BYTES // 4
    large = [name + "ä" * (fourth // 2 - 1) + "." for name in "abcde"]
    await keep_described(unit_of_work, ours, *({"note": text} for text in (*large, "last")))

    groups = await worked_out(unit_of_work, ours, ["properties.note"], COUNT, narrowed_to=narrowed_to)

    assert groups.total == 6
    assert [len(text.encode()) for text in large] == [fourth] * 5
    assert [group.key[0] for group in groups.groups] == large[:4]


@pytest.mark.parametrize("narrowed_to", [ALL, PUMPS])
async def test_numbers_beyond_doubles_are_a_group_and_make_no_figure(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, narrowed_to: AssetFilter
) -> None:
    await keep_described(unit_of_work, ours, {"kw": 10**400}, {"kw": 10**401}, {"kw": -(10**400)}, {"kw": 1e308})
    ask = partial(worked_out, unit_of_work, ours, narrowed_to=narrowed_to)

    assert told(await ask([KW], COUNT)) == [("inf", 2), ("-inf", 1), (1e308, 1)]
    with pytest.raises(AggregateOverflowError):
        await ask([], (MeasureOp.MAX, KW))


async def test_a_sum_of_doubles_that_is_none_is_refused(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    await keep_described(unit_of_work, ours, {"kw": 1e308}, {"kw": 1e308})

    with pytest.raises(AggregateOverflowError):
        await worked_out(unit_of_work, ours, [], (MeasureOp.SUM, KW))


async def test_assets_are_grouped_by_type_by_parent_and_by_each_ancestor_of_a_type(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    kwargs: dict[str, Any] = {"organisation_id": ours, "properties": {}}
    site, lone = (build_asset(asset_type="area", **kwargs) for _ in range(2))
    hall = build_asset(asset_type="area", parent_id=site.id, **kwargs)
    rack = build_asset(asset_type="rack", parent_id=hall.id, **kwargs)
    pumps = [build_asset(organisation_id=ours, parent_id=rack.id, properties={"kw": kw}) for kw in (1, 2)]
    await keep(unit_of_work, site, lone, hall, rack, *pumps, build_asset(properties={"kw": 100}))
    ask = partial(worked_out, unit_of_work, ours)

    assert told(await ask(["asset_type"], COUNT)) == [("area", 3), ("pump", 2), ("rack", 1)]
    by_parent = told(await ask(["parent_id"], COUNT, (MeasureOp.SUM, KW)))
    assert sorted(by_parent, key=str) == sorted(
        [(None, 2, None), (str(rack.id), 2, 3), (str(site.id), 1, None), (str(hall.id), 1, None)], key=str
    )
    by_area = told(await ask(["ancestor.area"], COUNT, (MeasureOp.SUM, KW)))
    assert by_area == [(str(site.id), 4, 3), (str(hall.id), 3, 3), (None, 2, None)]
    assert told(await ask(["ancestor.area"], COUNT, narrowed_to=AssetFilter(ancestor=hall.id))) == [
        *sorted([(str(site.id), 3), (str(hall.id), 3)])
    ]
    two = told(await ask(["ancestor.rack", KW], COUNT, narrowed_to=PUMPS))
    assert two == [(str(rack.id), 1, 1), (str(rack.id), 2, 1)]


@pytest.mark.parametrize(
    ("narrowed_to", "count"),
    [
        (AssetFilter(match={"maker": "x"}), 2),
        (AssetFilter(path=read_predicate("$.kw > 1")), 2),
        (AssetFilter(path=read_predicate('$.kw > 1 && $.maker == "x"')), 1),
        (AssetFilter(words="circ"), 3),
        (AssetFilter(words="nothing"), 0),
        (AssetFilter(asset_type="hall"), 0),
    ],
)
async def test_what_is_looked_for_alone_counts(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId, narrowed_to: AssetFilter, count: int
) -> None:
    documents = [{"maker": "x", "kw": 1}, {"maker": "x", "kw": 2}, {"maker": "y", "kw": 3}]
    await keep_described(unit_of_work, ours, *documents)

    assert told(await worked_out(unit_of_work, ours, [], COUNT, narrowed_to=narrowed_to)) == [(count,)]


async def test_others_assets_neither_count_nor_are_looked_below(
    unit_of_work: AssetsUnitOfWorkFactory, ours: OrganisationId
) -> None:
    theirs = build_asset(properties={"maker": "x", "kw": 5})
    await keep(unit_of_work, theirs, build_asset(parent_id=theirs.id, organisation_id=theirs.organisation_id))
    await keep_described(unit_of_work, ours, {"maker": "x"})

    assert told(await worked_out(unit_of_work, ours, ["properties.maker"], COUNT, (MeasureOp.MAX, KW))) == [
        ("x", 1, None)
    ]
    with pytest.raises(AssetNotFoundError):
        await worked_out(unit_of_work, ours, [], COUNT, narrowed_to=AssetFilter(ancestor=theirs.id))
