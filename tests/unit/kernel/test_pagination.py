import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iotsphere.kernel.pagination import CursorMalformedError, decode_cursor, encode_cursor

UTC_ZONE = ZoneInfo("UTC")
MOMENT = datetime(2026, 11, 20, 17, 23, 0, 123456, tzinfo=UTC)

Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def is_refused(cursor: str) -> bool:
    """Tell whether the cursor is refused as it should be; any other error is the test's."""
    try:
        moment, identifier = decode_cursor(cursor, tuple[datetime, UUID])
    except CursorMalformedError:
        return True
    assert moment.utcoffset() == timedelta(0)
    assert isinstance(identifier, UUID)
    return False


@given(st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_a_cursor_gives_its_sort_key_back(moment: datetime, identifier: UUID) -> None:
    cursor = encode_cursor(moment, identifier)

    assert decode_cursor(cursor, tuple[datetime, UUID]) == (moment, identifier)
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@dataclass(frozen=True)
class Question:
    """What somebody may ask of a list."""

    labels: frozenset[str] = frozenset()
    start: datetime | None = None
    zone: ZoneInfo = UTC_ZONE


@pytest.mark.parametrize(
    "other",
    [
        None,
        Question(start=MOMENT),
        Question(zone=ZoneInfo("Europe/Berlin")),
        Question(frozenset("ab")),
        (Question(), 1),
    ],
)
def test_a_cursor_leads_on_in_the_answer_to_its_own_question_alone(other: object) -> None:
    for asked, asked_then in ((Question(), other), (other, Question())):
        cursor = encode_cursor(MOMENT, UUID(int=1), asked=asked)

        assert decode_cursor(cursor, tuple[datetime, UUID], asked=asked) == (MOMENT, UUID(int=1))
        with pytest.raises(CursorMalformedError):
            decode_cursor(cursor, tuple[datetime, UUID], asked=asked_then)


def test_a_question_is_the_same_in_every_process() -> None:
    labels = [f"label-{number}" for number in range(50)]
    cursors = {encode_cursor(1, asked=Question(frozenset(order))) for order in (labels, labels[::-1])}

    # Written down, since sets go by another order in the next process.
    assert cursors == {"CbjBqm-OCMxbMV0"}


@given(st.text())
@example("\ud800")
@example("é")
@example("=" * 5)
@example(base64.urlsafe_b64encode(b"[" * 100_000).decode())
@example(base64.urlsafe_b64encode(b'{"a":' * 100_000).decode())
def test_a_text_of_any_kind_is_refused(text: str) -> None:
    assert is_refused(text)


@given(Json)
def test_json_of_any_kind_is_refused(value: object) -> None:
    assert is_refused(base64.urlsafe_b64encode(msgspec.json.encode(value)).decode())


@given(st.data())
def test_a_damaged_cursor_is_refused_or_says_a_sort_key(data: st.DataObject) -> None:
    cursor = encode_cursor(MOMENT, uuid4())
    position = data.draw(st.integers(0, len(cursor) - 1))
    damage = data.draw(st.sampled_from(["", "A", "-", "_", "=", "+", "/", " ", "\0", "é", cursor]))

    is_refused(cursor[:position] + damage + cursor[position + 1 :])


@pytest.mark.parametrize(
    "sort_key",
    [
        (MOMENT.isoformat(),),
        (MOMENT.isoformat(), str(UUID(int=0)), 1),
        (str(UUID(int=0)), MOMENT.isoformat()),
        ("2026-11-20T17:23:00", str(UUID(int=0))),
        ("2026-11-20T17:23:00+02:00", str(UUID(int=0))),
        ("0001-01-01T00:00:00+14:00", str(UUID(int=0))),
        (1795195380, str(UUID(int=0))),
        (MOMENT.isoformat(), 0),
        (None, None),
    ],
)
def test_a_cursor_of_another_list_is_refused(sort_key: tuple[object, ...]) -> None:
    assert is_refused(encode_cursor(*sort_key))


def test_the_refusal_says_what_to_do() -> None:
    with pytest.raises(CursorMalformedError) as refusal:
        decode_cursor("made-up", tuple[datetime, UUID])

    assert refusal.value.code == "request.cursor.malformed"
    assert "Start again without it" in refusal.value.detail
