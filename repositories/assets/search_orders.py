"""The orders in which assets come, each of one or two parts, and what the database has in such an order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import sqlalchemy as sa
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from iotsphere.assets.search import BY_CREATION, PROPERTIES, AssetOrder
from iotsphere.assets.search_position import MAX_TEXT_LENGTH
from repositories.assets.tables import assets, property_values
from repositories.assets.values import KeptPaths

Columns = ReadOnlyColumnCollection[str, Any]
Key = Sequence[sa.ColumnElement[Any]]

NUMBER, TEXT, BOOLEAN = range(3)
ORGANISATION_ID = sa.bindparam("organisation_id", type_=sa.Uuid)
OF_TYPE = sa.bindparam("of_type", type_=sa.Text)
SORTED_PATH = sa.bindparam("sorted_path", type_=sa.Integer)
# What numbers a double can be.
LARGEST: sa.ColumnElement[Any] = sa.literal_column("1.7976931348623157e308")
SMALLEST: sa.ColumnElement[Any] = sa.literal_column("5e-324")


class OrderPart(Protocol):
    """A part of an order. All other parts of it come before or behind this one."""

    key_length: ClassVar[int]

    @property
    def is_kept(self) -> bool:
        """Tell whether there is something that lies in the order."""

    @property
    def is_descending(self) -> bool: ...

    def key(self, columns: Columns) -> Key:
        """Give what an asset is sorted by; of one that is in another part it is null."""

    def holds(self, columns: Columns) -> sa.ColumnElement[bool]:
        """Tell whether an asset is in this part."""

    def walked(self) -> "Walked":
        """Give what lies in the order, if it is kept."""


@dataclass(frozen=True, slots=True)
class Walked:
    """What lies in the order: ``rows`` are all of it, and ``key`` is their sort key.

    They are assets themselves, unless ``asset`` leads to them.
    """

    rows: sa.Select[Any]
    key: Key
    asset: sa.ColumnElement[Any] | None = None


@dataclass(frozen=True, slots=True)
class ByColumn:
    """Every asset of the organisation; by creation, those of a type too, for which there is an index."""

    key_length: ClassVar[int] = 2
    is_kept: ClassVar[bool] = True

    column: str
    is_descending: bool = False
    has_type: bool = False

    def key(self, columns: Columns) -> Key:
        return columns[self.column], columns["id"]

    def holds(self, columns: Columns) -> sa.ColumnElement[bool]:  # noqa: ARG002  # they are all in it
        return sa.true()

    def walked(self) -> Walked:
        rows = sa.select(assets).where(assets.c.organisation_id == ORGANISATION_ID)
        if self.has_type and self.column == "created_at":
            rows = rows.where(assets.c.asset_type == OF_TYPE)
        return Walked(rows, self.key(assets.c))


@dataclass(frozen=True, slots=True)
class ByValue:
    """Those that have a value to which so many keys lead, as far as these values are kept."""

    key_length: ClassVar[int] = 4

    depth: int
    is_kept: bool
    is_descending: bool

    def key(self, columns: Columns) -> Key:
        value = _sorted_member(columns, self.depth)
        kind = kind_of(value)
        return kind, number_of(value), _text_of(value), sa.case((kind.is_not(None), columns["number"]))

    def holds(self, columns: Columns) -> sa.ColumnElement[bool]:
        return kind_of(_sorted_member(columns, self.depth)).is_not(None)

    def walked(self) -> Walked:
        values = property_values.c
        key = (values.kind, values.num, values.txt, values.asset)
        rows = sa.select(*key).where(values.path == SORTED_PATH, values.kind <= BOOLEAN)
        return Walked(rows, key, values.asset)


@dataclass(frozen=True, slots=True)
class WithoutValue:
    """Those that have none, in the order of creation."""

    key_length: ClassVar[int] = 2
    is_kept: ClassVar[bool] = True

    depth: int
    created: ByColumn
    is_descending: bool = False

    def key(self, columns: Columns) -> Key:
        return tuple(sa.case((self.holds(columns), column)) for column in self.created.key(columns))

    def holds(self, columns: Columns) -> sa.ColumnElement[bool]:
        return kind_of(_sorted_member(columns, self.depth)).is_(None)

    def walked(self) -> Walked:
        return self.created.walked()


def parts_of(order: AssetOrder, paths: KeptPaths, *, has_type: bool) -> tuple[OrderPart, ...]:
    """Give the parts of which the order consists that is asked for."""
    if order.by != PROPERTIES:
        return (ByColumn(order.by, order.is_descending, has_type),)
    depth = len(order.keys)
    created = ByColumn(BY_CREATION.by, has_type=has_type)
    return ByValue(depth, paths.find(order.keys) is not None, order.is_descending), WithoutValue(depth, created)


def sorted_by(order: AssetOrder, paths: KeptPaths) -> dict[str, Any]:
    """Give what the parts of the order ask for."""
    return {SORTED_PATH.key: paths.find(order.keys)} | {_sorted_key(nth): key for nth, key in enumerate(order.keys)}


def _sorted_key(nth: int) -> str:
    return f"sorted_by_{nth}"


def _sorted_member(columns: Columns, depth: int) -> sa.ColumnElement[Any]:
    return member(columns, (sa.bindparam(_sorted_key(nth), type_=sa.Text) for nth in range(depth)))


def member(columns: Columns, keys: Iterable[sa.ColumnElement[str]]) -> sa.ColumnElement[Any]:
    """Give what is at the end of the keys, of which none leads into an array."""
    value: sa.ColumnElement[Any] = columns["properties"]
    for key in keys:
        value = value[key]
    return value


def kind_of(value: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    return sa.case(
        {"number": NUMBER, "string": TEXT, "boolean": BOOLEAN}, value=sa.func.jsonb_typeof(value), else_=sa.null()
    )


def number_of(value: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Give the number as the table of values has it: what is no double is infinite, or zero."""
    exact = sa.cast(value, sa.Numeric)
    infinite = sa.cast(sa.func.sign(exact), sa.Double) * sa.cast(sa.literal("Infinity"), sa.Double)
    double = sa.case(
        (sa.func.abs(exact) < SMALLEST, sa.literal_column("0")),
        (sa.func.abs(exact) <= LARGEST, sa.cast(exact, sa.Double)),
        else_=infinite,
    )
    kind = kind_of(value)
    return sa.case((kind == NUMBER, double), (kind.is_not(None), sa.literal_column("0")))


def _text_of(value: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    kind = kind_of(value)
    beginning = sa.func.left(value.op("#>>")(sa.literal_column("'{}'")), MAX_TEXT_LENGTH)
    return sa.case((kind == NUMBER, ""), (kind.is_not(None), beginning)).collate("C")
