"""What is written of a maintenance log is read again as it was."""

import io
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from iotsphere.api.assets.maintenance_lines import MAINTENANCE_LINES
from iotsphere.assets.maintenance_event import MAX_COST, MaintenanceDraft, MaintenanceEvent, MaintenanceKind
from iotsphere.workflows.maintenance_log import LogLine
from tests.factories.assets import build_maintenance_event

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
STARTS = st.sampled_from(["=", "+", "-", "@", "\t", "\r", "\n", "'", "''", "", " ", '"', ","])
SAID = st.none() | st.builds(str.__add__, STARTS, TEXT)
EVENTS = st.builds(
    build_maintenance_event,
    kind=st.sampled_from(MaintenanceKind),
    component=SAID,
    notes=SAID,
    occurred_at=st.datetimes(datetime(1900, 1, 1), datetime(2026, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    cost=st.none() | st.integers(0, MAX_COST) | st.floats(0, MAX_COST),
)


def said(event: MaintenanceEvent) -> LogLine:
    return LogLine(
        event.device_id,
        MaintenanceDraft(event.kind, event.occurred_at, event.component, event.notes, event.cost),
    )


@given(events=st.lists(EVENTS, max_size=3))
def test_lines_of_json_come_back(events: list[MaintenanceEvent]) -> None:
    written = io.BytesIO(MAINTENANCE_LINES.write_ndjson(events)).readlines()

    assert [entry.draft for entry in MAINTENANCE_LINES.read_ndjson(written)] == [said(event) for event in events]


@given(events=st.lists(EVENTS, max_size=3))
def test_rows_of_a_table_come_back(events: list[MaintenanceEvent]) -> None:
    written = io.BytesIO(MAINTENANCE_LINES.csv_header + MAINTENANCE_LINES.write_csv(events)).readlines()

    read = [entry.draft for entry in MAINTENANCE_LINES.read_csv(written)]

    assert read == [said(event) for event in events]
    assert [type(line.draft.cost) for line in read if isinstance(line, LogLine)] == [
        type(event.cost) for event in events
    ]
