"""What the door adds to the audit trail: every refusal, and what was done in stores other than the registry.

A change in the registry is recorded by the service that makes it, in the same transaction. Elsewhere there is no such
transaction: the door records the change when it has been made, and sees to it that a client who goes away meanwhile
does not keep it from being recorded (ADR 0016).
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import structlog
from dependency_injector.wiring import Provide, inject
from prometheus_client import Counter
from quart import g, request

from iotsphere.assets.model import ASSET_TYPE
from iotsphere.audit.service import AuditService
from iotsphere.kernel.actor import ActorKind
from iotsphere.kernel.audit import Attempt
from iotsphere.kernel.errors import (
    DomainError,
    NotPermittedError,
    TooManyRequestsError,
    UnauthenticatedError,
    UnavailableError,
)
from iotsphere.throttling.model import network_of

log = structlog.get_logger()
T = TypeVar("T")

READING = frozenset({"GET", "HEAD", "OPTIONS"})
ALWAYS_RECORDED = (UnauthenticatedError, NotPermittedError, TooManyRequestsError)

UNRECORDED = Counter(
    "iotsphere_audit_unrecorded", "What the door did not add to the audit trail, by why not", ["reason"]
)

Change = tuple[str, Mapping[str, Any]]
"""What was changed, ``<kind>:<id>``, and what there is to say of it."""
ChangeReader = Callable[[Mapping[str, Any], Any], Change | None]
"""Tells from what a view was offered and what it returned which change that was; None if none that is recorded."""

_under_way: set[asyncio.Task[Any]] = set()


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Do the work whole, also when the client goes away, upon which the server cancels the request."""
    task = asyncio.create_task(work)
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)
    return await asyncio.shield(task)


@inject
async def record_change(attempt: Attempt, change: Change, trail: AuditService = Provide["audit.trail"]) -> None:
    """Record what was done. It stays done: where the registry is away just then, the log alone tells of it."""
    target, details = change
    try:
        await trail.record_change(attempt=attempt, target=target, details=details)
    except UnavailableError:
        UNRECORDED.labels("outage").inc()
        log.exception("audit.change.unrecorded", **_told(attempt), target=target)


@inject
async def record_refusal(
    error: DomainError, path: Mapping[str, Any], trail: AuditService = Provide["audit.trail"]
) -> None:
    """Record a refusal. Whatever comes of it, the caller is answered as without it."""
    attempt: Attempt = g.attempt
    if not _is_recorded(error, attempt):
        return
    target = error.target or _target_of(path)
    source = attempt.actor.name if attempt.actor else network_of(attempt.address)
    try:
        is_kept = await trail.record_refusal(attempt=attempt, error=error, target=target, source=source)
    except UnavailableError as failure:
        UNRECORDED.labels("outage").inc()
        log.warning(
            "audit.refusal.unrecorded", **_told(attempt), target=target, code=error.code, detail=failure.detail
        )
    else:
        UNRECORDED.labels("limit").inc(not is_kept)


def _is_recorded(error: DomainError, attempt: Attempt) -> bool:
    if isinstance(error, UnavailableError):
        # Nobody was refused anything.
        return False
    if isinstance(error, ALWAYS_RECORDED):
        return True
    # What a device may write is its data and its state; the ledger and the answers tell what became of them.
    is_traffic = attempt.actor is not None and attempt.actor.kind is ActorKind.DEVICE
    return request.method not in READING and not is_traffic


def _target_of(path: Mapping[str, Any]) -> str | None:
    """Name what the path leads to; what lies below it is part of it, as a credential is of its device."""
    ids = (f"{name.removesuffix('_id')}:{value}" for name, value in path.items() if name.endswith("_id"))
    device_type = path.get("device_type", "")
    return next(ids, f"device_type:{device_type}" if ASSET_TYPE.fullmatch(device_type) else None)


def _told(attempt: Attempt) -> dict[str, str | None]:
    return {
        "actor": attempt.actor.name if attempt.actor else None,
        "action": attempt.action,
        "address": attempt.address,
    }
