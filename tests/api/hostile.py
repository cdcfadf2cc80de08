"""What a client may send that nobody expects."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

FIELDS = [
    "serial_number", "device_type", "name", "labels", "asset", "asset_type", "properties", "capabilities", "status",
    "label", "expires_at", "email", "password", "role", "admin", "old", "new", "refresh_token", "_schema",
    "__class__", "", "grace_seconds", "max_devices", "kind", "component", "occurred_at", "notes", "cost",
]  # fmt: skip
HEADERS = [
    "X-API-Key", "X-Provisioning-Key", "Authorization", "If-Match", "If-None-Match", "Idempotency-Key",
    "X-Correlation-ID", "Content-Type", "Content-Encoding", "Accept", "Cookie", "Range", "Origin", "X-Forwarded-For",
    "X-Forwarded-Proto", "X-CSRF-Token", "Sec-Fetch-Site",
]  # fmt: skip
PARAMETERS = [
    "limit", "cursor", "q", "label", "status", "device_type", "x", "actor", "action", "target", "outcome",
    "correlation_id", "start", "end", "kind", "component", "device_id",
]  # fmt: skip
# What is read by a query, apart from what belongs to one thing.
LISTS = [
    "/devices",
    "/devices/export",
    "/users",
    "/me",
    "/organisations",
    "/api-keys",
    "/provisioning-keys",
    "/audit",
    "/maintenance-events",
    "/maintenance-events/export",
]
LIKELY = [
    "SN-1",
    "pump",
    "active",
    "viewer",
    "a@b.example",
    "correct horse",
    "2100-01-01T00:00:00Z",
    10**15,
    -1,
    2**63,
]

# Every write of identity, registry and maintenance log, with a body that it takes; a question mark stands for an id.
ACCEPTED: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/auth/token"): {"email": "a@b.example", "password": "correct horse"},
    ("POST", "/auth/refresh"): {"refresh_token": "made up"},
    ("POST", "/auth/logout"): {},
    ("POST", "/organisations"): {
        "name": "Windworks",
        "admin": {"email": "a@b.example", "password": "correct horse"},
    },
    ("POST", "/users"): {"email": "a@b.example", "password": "correct horse", "role": "viewer"},
    ("PATCH", "/organisations/?"): {"name": "Waterworks"},
    ("PATCH", "/users/?"): {"name": "Vi", "role": "viewer", "password": "correct horse"},
    ("PATCH", "/me"): {"password": {"old": "not a password", "new": "correct horse"}},
    ("POST", "/api-keys"): {"label": "Billing", "role": "viewer"},
    ("POST", "/devices"): {"serial_number": "SN-1", "device_type": "pump"},
    ("PATCH", "/devices/?"): {},
    ("POST", "/devices/?/credentials"): {},
    ("POST", "/devices/?/credentials/?/rotate"): {},
    ("POST", "/provisioning-keys"): {
        "device_type": "pump",
        "max_devices": 10,
        "expires_at": "2100-01-01T00:00:00Z",
    },
    ("POST", "/provision"): {"serial_number": "SN-1"},
    ("POST", "/devices/?/maintenance-events"): {"kind": "failure", "occurred_at": "2026-03-01T12:00:00Z"},
}
WRITES = list(ACCEPTED)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(LIKELY)
)
NAMES = st.sampled_from(FIELDS) | st.text(max_size=5)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=20,
)
OBJECTS = st.dictionaries(NAMES, JSON, max_size=4)
HEADER_VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40)
PARAMETER_VALUES = st.text(max_size=10) | st.integers().map(str)
HOSTILE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
