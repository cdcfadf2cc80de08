"""Groups of assets, as statements make them.

A group has ``kind_n``, ``num_n`` and ``txt_n`` of what its assets have in common for the n-th grouping: as the table
of values says it, but with the whole of a text, and with a kind of its own where they have nothing. Then there are
the ``assets`` in it, ``figure_n`` of the n-th measure, and how many groups there are in ``total``.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from iotsphere.assets.aggregate import MAX_GROUP_BYTES, MAX_GROUPS, Aggregation, Measure, MeasureOp
from repositories.assets.search_orders import NUMBER, TEXT, kind_of, number_of

Expression = sa.ColumnElement[Any]

NOTHING = 4
"""The kind of what is not there; it comes behind all others."""
PARTS = ("kind", "num", "txt")
NOTHING_KEY = (sa.literal(NOTHING), sa.literal(0.0, sa.Double), sa.literal("", sa.Text))
PERCENTILES = {MeasureOp.P50: 0.5, MeasureOp.P90: 0.9, MeasureOp.P95: 0.95, MeasureOp.P99: 0.99}


def key_names(asked: Aggregation) -> list[str]:
    return [f"{part}_{nth}" for nth, _ in enumerate(asked.groupings) for part in PARTS]


def label_key(nth: int, *key: Expression) -> list[sa.Label[Any]]:
    return [column.label(f"{part}_{nth}") for part, column in zip(PARTS, key, strict=True)]


def key_of_text(nth: int, text: Expression) -> list[sa.Label[Any]]:
    kind = sa.case((text.is_(None), NOTHING), else_=TEXT)
    return label_key(nth, kind, sa.literal(0.0, sa.Double), sa.func.coalesce(text, "").collate("C"))


def key_of_member(nth: int, value: Expression) -> list[sa.Label[Any]]:
    """Of what is somewhere in a document."""
    kind = kind_of(value)
    text = sa.case((kind != NUMBER, value.op("#>>", return_type=sa.Text())(sa.literal_column("'{}'"))), else_="")
    number = sa.func.coalesce(number_of(value), sa.literal(0.0, sa.Double))
    return label_key(nth, sa.func.coalesce(kind, NOTHING), number, text.collate("C"))


def figures(asked: Aggregation, numbers: Sequence[Expression]) -> list[sa.Label[Any]]:
    """Give the figures over rows in which the n-th of what is measured is in ``numbers``."""
    number_of_keys = dict(zip(asked.measured, numbers, strict=True))
    return [
        figure(measure, number_of_keys.get(measure.keys)).label(f"figure_{nth}")
        for nth, measure in enumerate(asked.measures)
    ]


def figure(measure: Measure, number: Expression | None) -> Expression:
    if number is None:
        return sa.func.count()
    if measure.op in PERCENTILES:
        return sa.func.percentile_cont(PERCENTILES[measure.op]).within_group(number)
    worked_out: Expression = getattr(sa.func, measure.op)(number)
    return worked_out


def largest(asked: Aggregation, groups: sa.Select[Any]) -> sa.Subquery:
    found = groups.subquery("groups")
    total = sa.func.count().over().label("total")
    top = in_order(asked, sa.select(found, total), found).limit(MAX_GROUPS).subquery("top")
    if not asked.groupings:
        return top
    texts = sum((sa.func.octet_length(top.c[f"txt_{nth}"]) for nth, _ in enumerate(asked.groupings)), sa.literal(0))
    so_far = sa.func.sum(texts).over(order_by=_order(asked, top), rows=(None, 0)).label("so_far")
    measured = sa.select(top, so_far).subquery("measured")
    return sa.select(measured).where(measured.c.so_far <= MAX_GROUP_BYTES).subquery("largest")


def in_order(asked: Aggregation, groups: sa.Select[Any], found: sa.FromClause) -> sa.Select[Any]:
    """Sort groups: the largest first, those of a size by what their assets have in common."""
    return groups.order_by(*_order(asked, found))


def _order(asked: Aggregation, found: sa.FromClause) -> list[Expression]:
    return [found.c.assets.desc(), *(found.c[name] for name in key_names(asked))]
