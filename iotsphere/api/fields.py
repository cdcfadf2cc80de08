"""The kinds of value that the contract knows and marshmallow does not."""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from iotsphere.kernel.pagination import DEFAULT_LIMIT, MAX_LIMIT
from iotsphere.kernel.times import format_time, parse_time

MAX_VERSION = 2**31 - 1
INTEGER = re.compile(r"-?[0-9]{1,18}")


class Timestamp(fields.Field[datetime]):
    """In: RFC 3339 with an offset, or an integer of epoch milliseconds. Out: RFC 3339 in UTC with microseconds."""

    def _deserialize(
        self,
        value: Any,
        attr: str | None,  # noqa: ARG002  # marshmallow's signature
        data: Mapping[str, Any] | None,  # noqa: ARG002
        **_: Any,
    ) -> datetime:
        try:
            # A number in a query string arrives as text.
            if isinstance(value, str) and INTEGER.fullmatch(value):
                value = int(value)
            return parse_time(value)
        except ValueError as error:
            raise ValidationError(str(error)) from error

    def _serialize(
        self,
        value: datetime | None,
        attr: str | None,  # noqa: ARG002  # marshmallow's signature
        obj: Any,  # noqa: ARG002
        **_: Any,
    ) -> str | None:
        return None if value is None else format_time(value)


class WholeNumber(fields.Integer):
    """An integer of JSON, as which neither a text of digits nor ``1.0`` counts."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Any:
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.make_error("invalid")
        return super()._deserialize(value, attr, data, **options)


def text(*, longest: int, shortest: int = 1, **options: Any) -> fields.String:
    return fields.String(validate=validate.Length(min=shortest, max=longest), **options)


# What Unicode wants shown as nothing (Default_Ignorable_Code_Point). With such characters in them, two serial numbers
# look the same, or one reads backwards.
INVISIBLE = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    r"\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
VISIBLE = validate.Regexp(
    rf"[^\s\x00-\x1f\x7f-\x9f{INVISIBLE}]{{1,128}}\Z", error="Must be 1 to 128 visible characters."
)
TYPE_NAME = validate.Regexp(
    r"[a-z][a-z0-9-]{0,62}\Z", error="Must be a lower-case letter, then up to 62 of a-z, 0-9 and -."
)


class NoQuery(Schema):
    """An operation without query parameters; unknown ones are refused like any unknown field."""


class PageQuery(Schema):
    limit = fields.Integer(load_default=DEFAULT_LIMIT, validate=validate.Range(1, MAX_LIMIT))
    # Whatever no list gave out is malformed rather than invalid, however long it is.
    cursor = fields.String(load_default=None)


class ThenQuery(Schema):
    """Without either, the thing as it is."""

    version = fields.Integer(
        validate=validate.Range(1, MAX_VERSION), metadata={"description": "As it was at this version."}
    )
    at = Timestamp(metadata={"description": "As it was at this time."})

    @validates_schema
    def _check_one(self, loaded: dict[str, Any], **_: Any) -> None:
        if len(loaded) > 1:
            raise ValidationError("Must not be given with version.", "at")


class HistoryQuery(PageQuery):
    start = Timestamp(load_default=None, metadata={"description": "Inclusive; without it, from the first change on."})
    end = Timestamp(load_default=None, metadata={"description": "Exclusive; without it, up to the last change."})

    @validates_schema
    def _check_range(self, loaded: dict[str, Any], **_: Any) -> None:
        if loaded["start"] and loaded["end"] and loaded["start"] > loaded["end"]:
            raise ValidationError("Must not lie before start.", "end")


NEXT = {"description": "Leads on to the next page, of however few items this one is; null if there is none."}


@cache
def page_schema(item: type[Schema]) -> Schema:
    """Give the schema of a page of items, named after them: one for all lists of such items."""
    name = item.__name__.removesuffix("Answer") + "PageAnswer"
    page = Schema.from_dict(
        {"items": fields.List(fields.Nested(item)), "next_cursor": fields.String(allow_none=True, metadata=NEXT)},
        name=name,
    )
    return page()
