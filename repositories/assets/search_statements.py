"""The statements of which a search consists. Each bounds for itself how many assets it fetches.

To make one takes longer than PostgreSQL takes to answer it, so they are kept: what is asked for comes in parameters.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.base import PGCompiler
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import visitors

from iotsphere.assets.search_position import SearchPosition
from repositories.assets.pages import within_room
from repositories.assets.rows import DOCUMENTS
from repositories.assets.search_conditions import Conditions, Values
from repositories.assets.search_narrowing import Narrowing
from repositories.assets.search_orders import Columns, Key, OrderPart
from repositories.assets.tables import assets

# Each takes a quarter of a megabyte or so.
KEPT = 64
WIDTH = sa.bindparam("width", type_=sa.Integer)
MOST = sa.bindparam("most", type_=sa.Integer)
AT_MOST = sa.bindparam("at_most", type_=sa.Integer)
NO_OFFSET: sa.ColumnElement[int] = sa.literal_column("0")


class Explained(sa.Executable, sa.ClauseElement):
    """How PostgreSQL would go about a query, which it does not ask."""

    inherit_cache = True
    _traverse_internals = [("query", visitors.InternalTraversal.dp_clauseelement)]  # noqa: RUF012

    def __init__(self, query: sa.CompoundSelect[Any]) -> None:
        self.query = query

    @property
    def _all_selected_columns(self) -> Any:
        # What a result is read by whose statement was compiled before.
        return self.query._all_selected_columns  # noqa: SLF001


@compiles(Explained, "postgresql")
def _explained(element: Explained, compiler: PGCompiler, **options: Any) -> str:
    return f"EXPLAIN (FORMAT JSON) {compiler.process(element.query, **options)}"


@lru_cache(maxsize=KEPT)
def estimate(ways: Sequence[Narrowing]) -> Explained:
    """Ask the planner how many rows it expects of each way."""
    # With an offset none becomes a part of the whole, or several, where its own number would not be told.
    apart = (way.query.offset(NO_OFFSET).subquery() for way in ways)
    return Explained(sa.union_all(*(sa.select(sa.literal_column("1")).select_from(one) for one in apart)))


def estimated(plan: Any) -> list[float]:
    """Read what the planner says to ``estimate`` of two ways or more."""
    (top,) = plan
    return [one["Plan Rows"] for one in top["Plan"]["Plans"]]


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for, and the order, which consists of ``parts``, one behind the other."""

    parts: tuple[OrderPart, ...]
    conditions: Conditions

    @property
    def is_walkable(self) -> bool:
        return all(part.is_kept for part in self.parts)

    @lru_cache(maxsize=KEPT)  # noqa: B019  # by what it consists of, and not for each one
    def walk(self, nth: int, *, is_behind: bool) -> sa.Select[Any]:
        """Give from a part of the order what is looked for, of as many as ``width`` of those that lie in it.

        Every row tells its place on the walk. The last of them is given in any case: there the walk ends, if it comes
        so far before it has ``most`` rows.
        """
        part = self.parts[nth]
        walked = part.walked()
        behind = walked.rows.where(_behind(walked.key, part)) if is_behind else walked.rows
        one: sa.FromClause
        one = inner = behind.order_by(*_in_order(walked.key, part)).limit(WIDTH).subquery("inner")
        source: sa.FromClause = inner
        if walked.asset is not None:
            owned = sa.select(assets).where(assets.c.number == inner.c[walked.asset.name])
            one = owned.offset(NO_OFFSET).lateral("one")
            source = inner.join(one, sa.true())
        key = [inner.c[column.name] for column in walked.key]
        place = sa.func.row_number().over().label("place")
        # No condition gets past the limit and the window, and so none makes the planner leave the order. It is not
        # asked for again outside: all of it would be had before any of it is given.
        gone_past = sa.select(*(one.c[column.name] for column in assets.c), *_labelled(nth, key), place)
        a = gone_past.select_from(source).subquery("a")
        fits = sa.func.coalesce(sa.and_(part.holds(a.c), *self.conditions.on(a.c)), sa.false())
        page = sa.select(a, fits.label("fits")).where(sa.or_(fits, a.c.place == WIDTH)).limit(MOST)
        return within_room(page, *DOCUMENTS)

    @lru_cache(maxsize=KEPT)  # noqa: B019  # likewise
    def candidates(self, narrowing: Narrowing, behind_part: int | None) -> sa.Select[Any]:
        """Give from the candidates what is looked for, in order; in every row stands how many candidates there are.

        There is a row also where nothing is found, or there are more than ``at_most``; then nothing else is in it.
        """
        candidates = narrowing.candidates(AT_MOST)
        a = candidates.rows
        keys = [labelled for nth, part in enumerate(self.parts) for labelled in _labelled(nth, part.key(a.c))]
        fits = sa.and_(sa.true(), *self._behind(a.c, behind_part), *self.conditions.on(a.c, but=narrowing.known))
        met = sa.select(a.c.number, self._part_of(a.c).label("part"), *keys, fits.label("fits")).cte("met")
        number = candidates.counted(met)
        page = sa.select(met).where(met.c.fits).order_by(*self._in_order(met.c)).limit(MOST).subquery("page")
        one = sa.select(assets).where(assets.c.number == page.c.number).offset(NO_OFFSET).lateral("one")
        rows = number.outerjoin(page, number.c.candidates <= AT_MOST).outerjoin(one, sa.true())
        shown = (number.c.candidates, page.c.part, *(page.c[key.name] for key in keys), *one.c)
        return within_room(sa.select(*shown).select_from(rows).order_by(*self._in_order(page.c)), *DOCUMENTS)

    def position_of(self, row: sa.Row[Any], nth: int) -> SearchPosition:
        """Give where in the order a row is, that is in the n-th part of it."""
        return SearchPosition(nth, tuple(getattr(row, name) for name in self._names(nth)))

    def _names(self, nth: int) -> list[str]:
        return [_name(nth, place) for place in range(self.parts[nth].key_length)]

    def _part_of(self, columns: Columns) -> sa.ColumnElement[Any]:
        first, *others = self.parts
        return sa.case((first.holds(columns), 0), else_=1) if others else sa.literal_column("0")

    def _in_order(self, columns: Columns) -> Iterator[sa.ColumnElement[Any]]:
        yield columns["part"]
        for nth, part in enumerate(self.parts):
            yield from _in_order([columns[name] for name in self._names(nth)], part)

    def _behind(self, columns: Columns, part: int | None) -> Iterator[sa.ColumnElement[bool]]:
        if part is not None:
            first, *others = self.parts[part:]
            own = sa.and_(first.holds(columns), _behind(first.key(columns), first))
            yield sa.or_(own, *(part.holds(columns) for part in others))


def _labelled(nth: int, key: Key) -> Iterator[sa.Label[Any]]:
    return (column.label(_name(nth, place)) for place, column in enumerate(key))


def _name(nth: int, place: int) -> str:
    return f"key_{nth}_{place}"


def _in_order(key: Key, part: OrderPart) -> Iterator[sa.ColumnElement[Any]]:
    return (column.desc() if part.is_descending else column for column in key)


def behind(position: SearchPosition | None) -> Values:
    """Give behind which key a page begins."""
    return {} if position is None else {_last(place): value for place, value in enumerate(position.key)}


def _last(place: int) -> str:
    return f"last_{place}"


def _behind(key: Key, part: OrderPart) -> sa.ColumnElement[bool]:
    here = sa.tuple_(*key)
    last = sa.tuple_(*(sa.bindparam(_last(place), type_=column.type) for place, column in enumerate(key)))
    return here < last if part.is_descending else here > last
