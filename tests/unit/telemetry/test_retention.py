from datetime import UTC, datetime, timedelta
from uuid import UUID

from iotsphere.kernel.identifiers import DeviceId
from iotsphere.telemetry.decoding import Batch
from iotsphere.telemetry.model import EARLIEST, Reading, Rejection
from iotsphere.telemetry.retention import SETTLING, RetentionClass, without_expired

DEVICE = DeviceId(UUID(int=1))
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
WEEK = RetentionClass("default", changed_at=NOW - SETTLING, raw_days=7)


def test_what_is_kept_for_ever_is_taken_and_never_dropped() -> None:
    forever = RetentionClass("default", changed_at=EARLIEST)

    assert forever.kept_since(NOW) == EARLIEST
    assert forever.droppable_before(NOW) == EARLIEST


def test_between_what_is_taken_and_what_is_dropped_lies_a_day() -> None:
    assert WEEK.kept_since(NOW) == NOW - 7 * DAY
    assert WEEK.droppable_before(NOW) == NOW - 8 * DAY


def test_nothing_is_dropped_before_every_process_has_heard_of_a_change() -> None:
    assert WEEK.droppable_before(NOW - timedelta(microseconds=1)) == EARLIEST


def test_what_was_dropped_is_not_taken_again_however_long_readings_are_kept_from_now_on() -> None:
    longer = RetentionClass("default", changed_at=NOW, dropped_before=NOW - 9 * DAY)

    assert longer.kept_since(NOW) == NOW - 9 * DAY


def test_an_age_beyond_the_calendar_is_for_ever() -> None:
    assert RetentionClass("default", changed_at=EARLIEST, raw_days=36_500).kept_since(NOW) == EARLIEST


def test_expired_readings_are_rejected_and_cost_the_others_nothing() -> None:
    kept = Reading(DEVICE, NOW - 7 * DAY, {"a": 1})
    expired = Reading(DEVICE, NOW - 7 * DAY - timedelta(microseconds=1), {"a": 1, "b": 2})
    known = Rejection(1, "telemetry.point.null", "null is no value. Leave the metric out.", "c")

    batch = without_expired(Batch([expired, kept], [0, 2], [known], 1), WEEK.kept_since(NOW))

    assert (batch.readings, batch.indexes, batch.rejected) == ([kept], [2], 3)
    assert [(rejection.index, rejection.code) for rejection in batch.rejections] == [
        (1, "telemetry.point.null"),
        (0, "telemetry.point.expired"),
    ]
