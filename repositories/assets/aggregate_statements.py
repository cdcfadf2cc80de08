"""The statements that work out figures over assets, in one of three ways that come to the same."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from iotsphere.assets.aggregate import Aggregation, GroupedBy, Grouping, MeasureOp
from iotsphere.assets.search_position import MAX_TEXT_LENGTH
from iotsphere.kernel.identifiers import OrganisationId
from repositories.assets.aggregate_groups import (
    NOTHING_KEY,
    PARTS,
    Expression,
    figure,
    figures,
    in_order,
    key_names,
    key_of_member,
    key_of_text,
    label_key,
    largest,
)
from repositories.assets.search_conditions import Conditions
from repositories.assets.search_narrowing import Narrowing
from repositories.assets.search_orders import BOOLEAN, NUMBER, Columns, kind_of, member, number_of
from repositories.assets.tables import assets, places, property_values
from repositories.assets.values import Keys

NUMBER_BYTES = 8
KEY = [f"{part}_0" for part in PARTS]


def of_types(organisation_id: OrganisationId, asked: Aggregation) -> sa.Select[Any]:
    """Count assets, by type or altogether: of that the index on types knows enough."""
    keys = [each for nth, _ in enumerate(asked.groupings) for each in key_of_text(nth, assets.c.asset_type)]
    owned = sa.select(*keys, assets.c.organisation_id).where(assets.c.organisation_id == organisation_id)
    if asked.narrowed_to.asset_type is not None:
        owned = owned.where(assets.c.asset_type == asked.narrowed_to.asset_type)
    top = largest(asked, _grouped(asked, owned.subquery("owned")))
    return in_order(asked, sa.select(top), top)


def of_values(organisation_id: OrganisationId, asked: Aggregation, paths: Mapping[Keys, int]) -> sa.Select[Any]:
    """Work out figures over all assets of an organisation, by a property or altogether, from values that are kept."""
    grouped = [_kept(paths[grouping.keys], grouping.keys) for grouping in asked.groupings]
    top = largest(asked, _count_kept(organisation_id, *grouped))
    source: sa.FromClause = top
    found = {}
    for keys in asked.measured:
        found[keys] = _measure_kept(asked, keys, paths[keys], *grouped).subquery()
        same = (top.c[name] == found[keys].c[name] for name in key_names(asked))
        source = source.outerjoin(found[keys], sa.and_(sa.true(), *same))
    shown = []
    for nth, measure in enumerate(asked.measures):
        value = found[measure.keys].c[f"figure_{nth}"] if measure.keys else top.c.assets
        shown.append((sa.func.coalesce(value, 0) if measure.op is MeasureOp.COUNT else value).label(f"figure_{nth}"))
    return in_order(asked, sa.select(top, *shown).select_from(source), top)


def _kept(path: int, keys: Keys) -> sa.Subquery:
    """Give the value that each asset has there, of a long text all of it."""
    values = property_values.c
    whole = sa.select(assets.c.properties.op("#>>", return_type=sa.Text())(sa.literal(list(keys), ARRAY(sa.Text))))
    document = whole.where(assets.c.number == values.asset).scalar_subquery()
    text = sa.case((sa.func.length(values.txt) == MAX_TEXT_LENGTH, document), else_=values.txt).collate("C")
    key = label_key(0, values.kind, values.num, text)
    return sa.select(values.asset, *key).where(values.path == path, values.kind <= BOOLEAN).subquery("kept")


def _count_kept(organisation_id: OrganisationId, kept: sa.Subquery | None = None) -> sa.Select[Any]:
    """Count the assets that have each of the values, and those that have none."""
    owned = sa.select(sa.func.count().label("assets")).where(assets.c.organisation_id == organisation_id)
    if kept is None:
        return owned
    key = [column for column in kept.c if column.name != "asset"]
    counted = sa.select(*key, sa.func.count().label("assets")).group_by(*key).cte("counted")
    known = sa.cast(sa.func.coalesce(sa.select(sa.func.sum(counted.c.assets)).scalar_subquery(), 0), sa.BigInteger)
    unknown = owned.with_only_columns((sa.func.count() - known).label("assets")).subquery("unknown")
    without = sa.select(*label_key(0, *NOTHING_KEY), unknown.c.assets).where(unknown.c.assets > 0)
    return sa.select(sa.union_all(sa.select(counted), without).subquery("both"))


def _measure_kept(asked: Aggregation, keys: Keys, path: int, kept: sa.Subquery | None = None) -> sa.Select[Any]:
    """Work out the figures of a property."""
    values = property_values.alias("measured")
    numbers = sa.select(values.c.num).where(values.c.path == path, values.c.kind == NUMBER)
    if kept is not None:
        key = (
            sa.func.coalesce(kept.c[name], nothing).label(name)
            for name, nothing in zip(KEY, NOTHING_KEY, strict=True)
        )
        numbers = numbers.add_columns(*key).outerjoin_from(values, kept, kept.c.asset == values.c.asset)
    found = numbers.subquery("found")
    group = [found.c[name] for name in key_names(asked)]
    figured = [
        figure(measure, found.c.num).label(f"figure_{nth}")
        for nth, measure in enumerate(asked.measures)
        if measure.keys == keys
    ]
    return sa.select(*group, *figured).group_by(*group)


def of_documents(
    organisation_id: OrganisationId, asked: Aggregation, way: Narrowing, conditions: Conditions, *, at_most: int
) -> sa.Select[Any]:
    """Work out figures over what is looked for, from the documents of ``at_most`` candidates.

    In every row stands how many candidates there are; there is a row also where there is no group.
    """
    candidates = way.candidates(sa.literal(at_most, sa.Integer))
    a = candidates.rows
    fits = sa.and_(sa.true(), *conditions.on(a.c, but=way.known)).label("fits")
    keys = [each for nth, grouping in enumerate(asked.groupings) for each in _key_in(a.c, nth, grouping)]
    numbers = [_number_in(a.c, path).label(f"number_{nth}") for nth, path in enumerate(asked.measured)]
    at = [_place(a.c.number)] if any(grouping.asset_type for grouping in asked.groupings) else []
    met = sa.select(a.c.number, fits, *keys, *numbers, *at).cte("met")
    top = largest(asked, _grouped(asked, _with_ancestors(organisation_id, asked, met)))
    number = candidates.counted(met)
    both = number.outerjoin(top, number.c.candidates <= at_most)
    return in_order(asked, sa.select(number, top).select_from(both), top)


def _grouped(asked: Aggregation, rows: sa.Subquery) -> sa.Select[Any]:
    key = [rows.c[name] for name in key_names(asked)]
    numbers = [rows.c[f"number_{nth}"] for nth, _ in enumerate(asked.measured)]
    return sa.select(*key, sa.func.count().label("assets"), *figures(asked, numbers)).select_from(rows).group_by(*key)


def _key_in(columns: Columns, nth: int, grouping: Grouping) -> list[sa.Label[Any]]:
    match grouping.by:
        case GroupedBy.ASSET_TYPE:
            return key_of_text(nth, columns["asset_type"])
        case GroupedBy.PARENT:
            return key_of_text(nth, sa.cast(columns["parent_id"], sa.Text))
        case GroupedBy.PROPERTY:
            return key_of_member(nth, _member(columns, grouping.keys))
        case GroupedBy.ANCESTOR:
            return []


def _member(columns: Columns, keys: Keys) -> Expression:
    return member(columns, (sa.literal(key, sa.Text) for key in keys))


def _number_in(columns: Columns, keys: Keys) -> Expression:
    value = _member(columns, keys)
    return sa.case((kind_of(value) == NUMBER, number_of(value)))


def _with_ancestors(organisation_id: OrganisationId, asked: Aggregation, met: sa.CTE) -> sa.Subquery:
    """Give what fits, once for each of the ancestors by which it is grouped."""
    source: sa.FromClause = met
    columns: list[Expression] = [column for column in met.c if column.name not in {"number", "fits", "place"}]
    for nth, grouping in enumerate(asked.groupings):
        if grouping.asset_type is not None:
            above = _ancestors(organisation_id, grouping.asset_type, met).subquery(f"above_{nth}")
            source = source.outerjoin(above, above.c.number == met.c.number)
            columns += key_of_text(nth, sa.cast(above.c.id, sa.Text))
    return sa.select(*columns).select_from(source).where(met.c.fits).subquery("rows")


def _ancestors(organisation_id: OrganisationId, asset_type: str, met: sa.CTE) -> sa.Select[Any]:
    """Give the ancestors of a type: their paths are what the paths of those below begin with."""
    of_type = sa.select(assets.c.id, _place(assets.c.number))
    tops = of_type.where(assets.c.organisation_id == organisation_id, assets.c.asset_type == asset_type).subquery(
        "tops"
    )
    lengths = sa.func.generate_series(NUMBER_BYTES, sa.func.length(met.c.place) - NUMBER_BYTES, NUMBER_BYTES)
    above = lengths.table_valued("length").render_derived("above")
    beginning = sa.func.substr(met.c.place, 1, above.c.length)
    both = met.join(above, sa.true()).join(tops, tops.c.place == beginning)
    return sa.select(met.c.number, tops.c.id).select_from(both).where(met.c.fits)


def _place(number: Expression) -> Expression:
    """Look a place up, one by one, and in no other way."""
    return sa.select(places.c.path).where(places.c.number == number).scalar_subquery().label("place")
