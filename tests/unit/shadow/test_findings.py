"""How it is said what a comparison found."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from iotsphere.kernel.findings import Finding
from iotsphere.kernel.identifiers import DeviceId
from iotsphere.shadow.comparison import ComparisonReport, DriftKind, ShadowDrift, StoreAndJournal
from iotsphere.shadow.findings import JOURNAL, LATE, list_findings
from iotsphere.shadow.model import Generation, ShadowKey
from iotsphere.shadow.ports import Backlog, ShadowStoreSurvey

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
DEVICE = DeviceId(UUID(int=7))
PLACE = int((NOON - timedelta(minutes=5)).timestamp() * 1000) * 1_000_000
SURVEY = ShadowStoreSurvey(3, is_rebuilding=False, position=PLACE)
LATEST = Generation(3, NOON, position=PLACE)


def report_of(
    survey: ShadowStoreSurvey = SURVEY, latest: Generation | None = LATEST, **told: Any
) -> ComparisonReport:
    return ComparisonReport(StoreAndJournal(survey, latest), **({"compared": 1234, "restored": 1234} | told))


def found(report: ComparisonReport, *, now: datetime = NOON) -> dict[str, Finding]:
    findings = list(list_findings(report, now=now))
    assert {finding.subject for finding in findings} == {JOURNAL}
    return {finding.check: finding for finding in findings}


def test_where_all_is_well_it_is_said_what_was_compared() -> None:
    findings = found(report_of())

    assert {check: finding.detail for check, finding in findings.items()} == {
        "generation": "store and journal are in generation 3",
        "backlog": "changes that wait for the journal: 0",
        "agreement": "shadows that are as the journal knows them: 1,234",
    }
    assert all(finding.is_well for finding in findings.values())


@pytest.mark.parametrize(
    ("survey", "latest", "said"),
    [
        (replace(SURVEY, generation=None, position=0), LATEST, "lost its data"),
        (replace(SURVEY, generation=2), LATEST, "set back to generation 2"),
        (replace(SURVEY, position=PLACE - 1), LATEST, "set back within generation 3"),
        (SURVEY, replace(LATEST, number=2), "the journal knows generation 2 alone"),
        (SURVEY, None, "the journal knows none"),
    ],
)
def test_a_side_that_was_lost_or_set_back_is_named(
    survey: ShadowStoreSurvey, latest: Generation | None, said: str
) -> None:
    finding = found(report_of(survey, latest))["generation"]

    assert not finding.is_well
    assert said in finding.detail


def test_a_platform_that_was_never_used_is_well() -> None:
    report = report_of(ShadowStoreSurvey(None, is_rebuilding=False), None, compared=0, restored=0)

    assert all(finding.is_well for finding in found(report).values())


def test_a_rebuilding_is_told_with_how_far_it_is() -> None:
    finding = found(report_of(replace(SURVEY, is_rebuilding=True), restored=1000, unrestored=234))["rebuild"]

    assert not finding.is_well
    assert "looked at: 1,000 of 1,234." in finding.detail


def test_what_waits_for_the_journal_is_wrong_when_it_waits_for_long() -> None:
    survey = replace(SURVEY, backlog=Backlog(2, 3456, PLACE, PLACE + 1))
    made_at = NOON - timedelta(minutes=5)

    in_time = found(report_of(survey), now=made_at + LATE - timedelta(microseconds=1))["backlog"]
    late = found(report_of(survey), now=made_at + LATE)["backlog"]

    expected = "changes that wait for the journal: 2 (3,456 bytes), the oldest since 2026-11-21 11:55:00 UTC"
    assert (in_time.is_well, in_time.detail) == (True, expected)
    assert (late.is_well, late.detail) == (False, f"{expected}. Is a worker running?")


def test_what_was_put_aside_is_told_with_where_it_is() -> None:
    findings = found(report_of(replace(SURVEY, unreadable=2), refused=3))

    assert not findings["refused"].is_well
    assert "refused: 3." in findings["refused"].detail
    assert "shadow_changes_refused" in findings["refused"].detail
    assert not findings["unreadable"].is_well
    assert "read: 2." in findings["unreadable"].detail
    assert "iotsphere:shadow:unreadable" in findings["unreadable"].detail


@pytest.mark.parametrize(
    ("kind", "held", "journalled", "said"),
    [
        (DriftKind.MISSING, None, 4, "is not in the store; the journal has its version 4."),
        (DriftKind.DAMAGED, None, 4, "cannot be read in the store; the journal has version 4."),
        (DriftKind.DAMAGED, None, None, "cannot be read in the store; the journal does not know it."),
        (DriftKind.OLDER, 3, 4, "is in the store at version 3, and the journal has version 4."),
        (DriftKind.ALTERED, 4, 4, "is in the store at version 4 with other content than the journal has."),
        (DriftKind.NEWER, 5, 4, "is in the store at version 5, and the journal has but version 4."),
        (DriftKind.UNKNOWN, 5, None, "is in the store at version 5, and the journal does not know it."),
    ],
)
def test_a_drift_is_told_with_its_place_and_both_versions(
    kind: DriftKind, held: int | None, journalled: int | None, said: str
) -> None:
    named = ShadowDrift(ShadowKey(DEVICE, "config"), kind, held, journalled)
    unnamed = ShadowDrift(ShadowKey(DEVICE), kind, held, journalled)

    findings = [
        finding
        for finding in list_findings(report_of(drifts=[named, unnamed], drift_count=2), now=NOON)
        if finding.check == "agreement"
    ]

    assert [finding.detail for finding in findings] == [
        f"The shadow 'config' of device {DEVICE} {said}",
        f"The shadow of device {DEVICE} {said}",
    ]
    assert not any(finding.is_well for finding in findings)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"drift_count": 1500}, "More shadows that differ: 1,500."),
        ({"unrestored": 1500}, "Shadows that differ as long as the store is not whole: 1,500."),
        ({"unjournalled": 1500}, "Shadows with changes that the journal does not have yet: 1,500."),
    ],
)
def test_what_is_not_named_is_counted_and_nothing_is_called_well(told: Any, said: str) -> None:
    finding = found(report_of(**told))["agreement"]

    assert (finding.is_well, finding.detail) == (False, said)
