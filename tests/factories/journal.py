"""Histories of a shadow, as its service makes them of patches."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from iotsphere.shadow.convergence import settle
from iotsphere.shadow.model import (
    DESIRED,
    REPORTED,
    ChangeKind,
    DesiredRefusal,
    Shadow,
    ShadowChange,
    ShadowKey,
    ShadowPatch,
    Violation,
)
from tests.factories.shadow import build_change

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
STEP = timedelta(milliseconds=250)

KEYS = st.sampled_from(["b", "a", "~/ü", "\x7f"])
SCALARS = st.sampled_from([0, 1, 1.0, 2**53, True, "", "x\ud7ff", [], [1, {"b": 1, "a": []}]])
SECTIONS = st.none() | st.dictionaries(
    KEYS,
    st.recursive(SCALARS | st.none(), lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=4),
    max_size=3,
)
REFUSALS = st.dictionaries(
    st.sampled_from(["", "/a", "/b", "/a/b"]), st.builds(DesiredRefusal, st.just("hot")), max_size=2
)
PATCHES = st.builds(
    ShadowPatch, st.dictionaries(st.sampled_from([DESIRED, REPORTED]), SECTIONS), refusals=REFUSALS
) | st.just(ShadowPatch(None))
MOVES = st.lists(PATCHES | st.none(), min_size=1, max_size=8)
"""What somebody does to a shadow: patches, and None where it is deleted."""


def make_history(key: ShadowKey, moves: Iterable[ShadowPatch | None], **given: Any) -> list[ShadowChange]:
    """Make the changes that follow from these moves, a quarter of a second apart."""
    shadow, changes = Shadow(), list[ShadowChange]()
    for place, patch in enumerate(moves):
        at = BEGIN + place * STEP
        changed = shadow.delete(at) if patch is None else shadow.change(patch.sections, at)
        pending, settlements = settle(shadow, changed, patch)
        violations = [Violation("state.reported.a", "Is not allowed.")] if "a" in changed.reported.state else []
        shadow = Shadow(
            changed.version, changed.desired, changed.reported, pending, violations, at, changed.is_deleted
        )
        kind = ChangeKind.DELETED if patch is None else ChangeKind.UPDATED
        made = {"kind": kind, "patch": patch, "settlements": settlements, "position": place + 1, "generation": 1}
        changes.append(build_change(key, shadow, **(made | given)))
    return changes


def wanting(state: Any) -> ShadowPatch:
    return ShadowPatch({DESIRED: state})


def reporting(state: Any, refusals: dict[str, DesiredRefusal] | None = None) -> ShadowPatch:
    return ShadowPatch({REPORTED: state}, refusals=refusals or {})
