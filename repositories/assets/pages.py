"""Pages of documents, which end where these come to more than a page has room for (ADR 0044)."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from iotsphere.kernel.pagination import MAX_PAGE_BYTES

SMALL_BYTES = 2048
"""What takes no more than this and is not compressed counts as it lies there: to write it out takes longer."""


def within_room(query: sa.Select[Any], *documents: str) -> sa.Select[Any]:
    """Give the rows of a page in their order, as far as there is room for what is in its columns ``documents``.

    The last one may be larger than the room that is left, so there is always one. Every row tells how many there are
    without the bound, in ``on_page``. What does not come is neither sent nor taken out of where it lies.
    """
    page = query.cte("bounded_page")
    size = sum((_size_of(page.c[document]) for document in documents), sa.literal_column("0"))
    upto = sa.func.sum(size).over(rows=(None, 0)).label("upto")
    nth = sa.func.row_number().over().label("nth")
    # Added up in the order of the page, and no further than to the first that fills it.
    added_up = sa.select(nth, upto).select_from(page).subquery("added_up")
    last = sa.select(added_up.c.nth).where(added_up.c.upto >= MAX_PAGE_BYTES).limit(1).scalar_subquery()
    on_page = sa.select(sa.func.count()).select_from(page).scalar_subquery().label("on_page")
    # No limit, where the room is enough.
    return sa.select(page, on_page).limit(last)


def _size_of(document: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Give in bytes what is sent of a document, or of a small one what it takes."""
    stored = sa.func.pg_column_size(document)
    is_small = sa.and_(sa.func.pg_column_compression(document).is_(None), stored <= SMALL_BYTES)
    written_out = sa.func.octet_length(sa.cast(document, sa.Text))
    return sa.func.coalesce(sa.case((is_small, stored), else_=written_out), 0)


def was_cut(rows: Sequence[sa.Row[Any]]) -> bool:
    """Tell whether there was no room for all of them."""
    return bool(rows) and rows[0].on_page > len(rows)


def last_shown(rows: Sequence[sa.Row[Any]], limit: int) -> sa.Row[Any] | None:
    """Give the row with which a page ends, None if nothing comes behind it."""
    shown = rows[:limit]
    return shown[-1] if shown and shown[0].on_page > len(shown) else None
