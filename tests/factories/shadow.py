"""Shadows and what happens to them, as tests need them."""

from typing import Any

from iotsphere.kernel.actor import Actor
from iotsphere.kernel.audit import Attempt
from iotsphere.shadow.model import ChangeKind, Shadow, ShadowChange, ShadowKey, ShadowPatch


def build_change(key: ShadowKey, shadow: Shadow, **given: Any) -> ShadowChange:
    """Make the change that made this of a shadow."""
    made = {
        "kind": ChangeKind.DELETED if shadow.is_deleted else ChangeKind.UPDATED,
        "actor": "user:00000000-0000-0000-0000-000000000003",
        "correlation_id": "request-1",
        "patch": None if shadow.is_deleted else ShadowPatch({"desired": shadow.desired.state}),
    }
    return ShadowChange(key=key, shadow=shadow, **(made | given))


def attempt_of(actor: Actor) -> Attempt:
    return Attempt(actor, "update_shadow", "192.0.2.1", "request-1")
