from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from iotsphere.kernel.audit import AuditEntry, AuditOutcome

FIRST_MOMENT = datetime(2026, 11, 20, tzinfo=UTC)
_numbers = count()


def build_entry(**given: Any) -> AuditEntry:
    """Make an entry of no organisation, every one a second younger than the one before."""
    facts: dict[str, Any] = {
        "at": FIRST_MOMENT + timedelta(seconds=next(_numbers)),
        "organisation_id": None,
        "actor": "anonymous",
        "action": "do_something",
        "target": None,
        "address": "192.0.2.1",
        "correlation_id": "request-1",
        "outcome": AuditOutcome.DONE,
    }
    return AuditEntry(**facts | given)
