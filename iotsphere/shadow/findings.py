"""What a comparison of shadows and journal found, in words."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from iotsphere.kernel.findings import Finding
from iotsphere.shadow.comparison import ComparisonReport, DriftKind, ShadowDrift, StoreAndJournal
from iotsphere.shadow.model import ShadowKey
from iotsphere.shadow.ports import Backlog

JOURNAL = "shadow journal"
# The journal is behind by milliseconds as long as a worker is at it.
LATE = timedelta(seconds=10)
SAID_OF_DRIFTS = {
    DriftKind.MISSING: "is not in the store; the journal has its version {journalled}.",
    DriftKind.DAMAGED: "cannot be read in the store; the journal {known}.",
    DriftKind.OLDER: "is in the store at version {held}, and the journal {known}.",
    DriftKind.ALTERED: "is in the store at version {held} with other content than the journal has.",
    DriftKind.NEWER: "is in the store at version {held}, and the journal has but version {journalled}.",
    DriftKind.UNKNOWN: "is in the store at version {held}, and the journal {known}.",
}


def list_findings(report: ComparisonReport, *, now: datetime) -> Iterator[Finding]:
    yield _generation_finding(report.both)
    if report.both.survey.is_rebuilding:
        detail = (
            "The store has lost data and is being rebuilt from the journal. Shadows restored when they were looked"
        )
        yield _finding("rebuild", f"{detail} at: {report.restored:,} of {report.compared:,}.")
    yield _backlog_finding(report.both.survey.backlog, now)
    if report.refused:
        refused = "Changes that the database of the journal refused"
        yield _finding("refused", f"{refused}: {report.refused:,}. They are in shadow_changes_refused.")
    if report.both.survey.unreadable:
        unreadable = f"Entries of the change stream that could not be read: {report.both.survey.unreadable:,}."
        yield _finding("unreadable", f"{unreadable} They are in iotsphere:shadow:unreadable.")
    yield from _agreement_findings(report)


def _generation_finding(both: StoreAndJournal) -> Finding:
    survey, latest = both.survey, both.latest
    if latest is None and survey.generation is None:
        return _finding("generation", "neither the store nor the journal has been used yet", is_well=True)
    if latest is None or latest.number < (survey.generation or 0):
        known = f"knows generation {latest.number} alone" if latest else "knows none"
        detail = f"The store is in generation {survey.generation}, and the journal {known}: it was lost or set back."
        return _finding("generation", detail)
    if survey.generation is None:
        return _finding("generation", f"The store has lost its data; the journal is in generation {latest.number}.")
    if survey.generation < latest.number:
        detail = f"The store was set back to generation {survey.generation}; the journal is in {latest.number}."
        return _finding("generation", detail)
    if survey.position < latest.position:
        detail = f"The store was set back within generation {latest.number}: the journal has later changes."
        return _finding("generation", detail)
    return _finding("generation", f"store and journal are in generation {latest.number}", is_well=True)


def _backlog_finding(backlog: Backlog, now: datetime) -> Finding:
    waiting = f"changes that wait for the journal: {backlog.length:,}"
    if backlog.oldest_at is None:
        return _finding("backlog", waiting, is_well=True)
    waiting += f" ({backlog.size_bytes:,} bytes), the oldest since {backlog.oldest_at:%Y-%m-%d %H:%M:%S} UTC"
    if now - backlog.oldest_at < LATE:
        return _finding("backlog", waiting, is_well=True)
    return _finding("backlog", f"{waiting}. Is a worker running?")


def _agreement_findings(report: ComparisonReport) -> Iterator[Finding]:
    for drift in report.drifts:
        yield _finding("agreement", _described(drift))
    others = report.drift_count - len(report.drifts)
    if others:
        yield _finding("agreement", f"More shadows that differ: {others:,}.")
    if report.unrestored:
        yield _finding("agreement", f"Shadows that differ as long as the store is not whole: {report.unrestored:,}.")
    if report.unjournalled:
        changed = "Shadows with changes that the journal does not have yet"
        yield _finding("agreement", f"{changed}: {report.unjournalled:,}.")
    if not (report.drift_count or report.unrestored or report.unjournalled):
        yield _finding("agreement", f"shadows that are as the journal knows them: {report.compared:,}", is_well=True)


def _described(drift: ShadowDrift) -> str:
    known = "does not know it" if drift.journalled is None else f"has version {drift.journalled}"
    said = SAID_OF_DRIFTS[drift.kind].format(held=drift.held, journalled=drift.journalled, known=known)
    return f"{_name(drift.key)} {said}"


def _name(key: ShadowKey) -> str:
    of_device = f"of device {key.device_id}"
    return f"The shadow {of_device}" if key.name is None else f"The shadow {key.name!r} {of_device}"


def _finding(check: str, detail: str, *, is_well: bool = False) -> Finding:
    return Finding(JOURNAL, check, is_well=is_well, detail=detail)
