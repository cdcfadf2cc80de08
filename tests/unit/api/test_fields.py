from datetime import UTC, datetime
from typing import Any

import pytest
from marshmallow import Schema, ValidationError

from iotsphere.api.fields import TYPE_NAME, VISIBLE, PageQuery, Timestamp
from iotsphere.api.operation import flat

MOMENT = datetime(2026, 11, 20, 17, 23, tzinfo=UTC)


class Moment(Schema):
    at = Timestamp()


@pytest.mark.parametrize(
    "value", ["2026-11-20T17:23:00Z", "2026-11-20T18:23:00+01:00", 1_795_195_380_000, "1795195380000"]
)
def test_a_time_is_read_however_it_is_written(value: Any) -> None:
    assert Moment().load({"at": value}) == {"at": MOMENT}


@pytest.mark.parametrize(
    "value", ["2026-11-20T17:23:00", "--5", "-", "", "9" * 19, "9" * 5000, "٣", "1.5", 1.5, True, {}, [], None]
)
def test_a_time_that_is_none_is_refused_in_one_sentence(value: Any) -> None:
    with pytest.raises(ValidationError) as refusal:
        Moment().load({"at": value})

    [messages] = flat(refusal.value.messages).values()
    assert len(messages) == 1
    assert len(messages[0]) < 120
    assert "int" not in messages[0].split()


def test_a_time_is_shown_in_utc_with_microseconds() -> None:
    assert Moment().dump({"at": MOMENT}) == {"at": "2026-11-20T17:23:00.000000Z"}
    assert Moment().dump({"at": None}) == {"at": None}


@pytest.mark.parametrize("limit", ["1", "500"])
def test_a_limit_may_be_from_1_to_500(limit: str) -> None:
    assert PageQuery().load({"limit": limit})["limit"] == int(limit)


@pytest.mark.parametrize("limit", ["0", "501", "-1", "1.5", "1e2", "", "ten", "0x10", "9" * 5000, "NaN"])
def test_any_other_limit_is_refused(limit: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        PageQuery().load({"limit": limit})

    assert list(flat(refusal.value.messages)) == ["limit"]


@pytest.mark.parametrize("text", ["x", "SN-1", "x" * 128, "é", "😀", "!#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\""])
def test_a_serial_number_is_visible_characters(text: str) -> None:
    assert VISIBLE(text) == text


@pytest.mark.parametrize("text", ["", "x" * 129, " ", "a b", "a\tb", "a\n", "\0", "\x7f", "\x85", "\u00a0", "\u2028"])
def test_nothing_else_is_a_serial_number(text: str) -> None:
    with pytest.raises(ValidationError):
        VISIBLE(text)


@pytest.mark.parametrize("character", ["\u200b", "\u202e", "\u00ad", "\ufeff", "\u2066", "\u3164", "\U000e0041"])
def test_a_serial_number_hides_nothing(character: str) -> None:
    with pytest.raises(ValidationError):
        VISIBLE(f"SN-{character}1")


@pytest.mark.parametrize("text", ["", "A", "1a", "-a", "a_b", "a b", "a\n", "ä", "a" * 64])
def test_a_type_name_is_small_letters_digits_and_hyphens(text: str) -> None:
    TYPE_NAME("a")
    TYPE_NAME("a-1" + "b" * 60)
    with pytest.raises(ValidationError):
        TYPE_NAME(text)


def test_messages_are_named_by_the_path_to_their_field() -> None:
    messages = {"a": {"b": {0: ["no"], 1: {"_schema": ["nor this"]}}}, "c": ["x", "y"], "_schema": ["as a whole"]}

    assert flat(messages) == {"a.b.0": ["no"], "a.b.1": ["nor this"], "c": ["x", "y"], "body": ["as a whole"]}
