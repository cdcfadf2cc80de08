"""The life of shadows on real stores, in whatever order things happen, against a model of what was acknowledged.

Two processes of the platform write; the store may be emptied, killed, stopped, or come back with an older file, and a
process may die, between changes or in the middle of one. After each of these every shadow is what the model says.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar
from uuid import UUID, uuid4

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from iotsphere.kernel.actor import Actor, ActorKind, Role
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.identifiers import DeviceId, OrganisationId
from iotsphere.shadow.errors import ShadowChangeUnconfirmedError, ShadowNotFoundError, ShadowVersionConflictError
from iotsphere.shadow.model import DESIRED, REPORTED, ChangeKind, Shadow, ShadowChange, ShadowKey, ShadowPatch
from iotsphere.shadow.recovery import VERSION_JUMP
from tests.factories.shadow import attempt_of
from tests.integration.shadow.shadow_world import Peer, ShadowWorld

ATTEMPT = attempt_of(Actor(ActorKind.USER, UUID(int=3), OrganisationId(UUID(int=1)), role=Role.OPERATOR))
PATIENCE_SECONDS = 30.0
Answer = TypeVar("Answer")

VALUES = st.none() | st.integers(0, 9) | st.dictionaries(st.sampled_from("xy"), st.integers(0, 9), max_size=2)
SECTIONS = st.none() | st.dictionaries(st.sampled_from("abc"), VALUES, max_size=2)
PATCHES = st.none() | st.dictionaries(st.sampled_from([DESIRED, REPORTED]), SECTIONS, min_size=1)
PROCESSES = st.integers(0, 1)
SHADOWS = st.integers(0, 3)
DISASTERS = st.sampled_from(["emptied", "killed", "stopped", "older"])

State = dict[str, dict[str, Any]]
Patch = dict[str, dict[str, Any] | None] | None


@dataclass(frozen=True)
class Known:
    """What the model knows of a shadow: a plain dict, how often it was changed, and whether it is there."""

    state: State = field(default_factory=dict)
    version: int = 0
    versions: dict[str, int] = field(default_factory=lambda: {DESIRED: 0, REPORTED: 0})
    is_there: bool = True

    def change(self, patch: Patch) -> "Known":
        sections = {DESIRED: None, REPORTED: None} if patch is None else patch
        state = self.state | {name: merged(self.state.get(name, {}), section) for name, section in sections.items()}
        return Known(
            {name: section for name, section in state.items() if section},
            self.version + 1,
            {name: count + (name in sections) for name, count in self.versions.items()},
        )

    def delete(self) -> "Known":
        return replace(self.change(None), is_there=False)

    def go_on(self, steps: int) -> "Known":
        versions = {name: count + steps for name, count in self.versions.items()}
        return replace(self, version=self.version + steps, versions=versions)


def merged(section: dict[str, Any], patch: dict[str, Any] | None) -> dict[str, Any]:
    if patch is None:
        return {}
    result = dict(section)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = result[key] | value
        else:
            result[key] = value
    return result


async def answered(act: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask until the store is there again."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await act()
        except UnavailableError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


def describe(shadow: Shadow) -> tuple[State, int, dict[str, int]]:
    return shadow.state, shadow.version, {DESIRED: shadow.desired.version, REPORTED: shadow.reported.version}


class LifeOfShadows(RuleBasedStateMachine):
    """``is_sure`` says that nobody is gone, and no answer was missed: then versions stay whatever is lost."""

    world: ClassVar[ShadowWorld]

    def __init__(self) -> None:
        super().__init__()
        devices = [DeviceId(uuid4()), DeviceId(uuid4())]
        self.keys = [ShadowKey(device, name) for device in devices for name in (None, "config")]
        self.known = {key: Known(is_there=key.name is None) for key in self.keys}
        self.past: dict[ShadowKey, dict[int, tuple[ChangeKind, Known]]] = {key: {} for key in self.keys}
        self.is_sure = True
        self.has_older = False
        self.world.run(self.world.begin_anew())

    def teardown(self) -> None:
        self.world.run(self._end())

    @rule(process=PROCESSES, shadow=SHADOWS, patch=PATCHES)
    def patch(self, process: int, shadow: int, patch: Patch) -> None:
        self.world.run(self._patch(self.world.peers[process], self.keys[shadow], patch))

    @rule(process=PROCESSES, shadow=SHADOWS, patch=PATCHES)
    def patch_the_version_that_is_there(self, process: int, shadow: int, patch: Patch) -> None:
        key = self.keys[shadow]
        if self.is_sure or self.known[key].is_there:
            version = self.known[key].version
            self.world.run(self._patch(self.world.peers[process], key, patch, version=version))

    @rule(process=PROCESSES, shadow=SHADOWS, off=st.sampled_from([-1, 1]))
    def patch_another_version(self, process: int, shadow: int, off: int) -> None:
        self.world.run(self._refuse(self.world.peers[process], self.keys[shadow], off))

    @rule(process=PROCESSES, shadow=SHADOWS)
    def delete(self, process: int, shadow: int) -> None:
        self.world.run(self._delete(self.world.peers[process], self.keys[shadow]))

    @rule()
    def put_the_file_aside(self) -> None:
        self.world.run(self.world.store.put_log_aside())
        self.has_older = True

    @rule(disaster=DISASTERS)
    def strike(self, disaster: str) -> None:
        self.world.run(self._strike(disaster))

    @rule(process=PROCESSES, shadow=SHADOWS, patch=PATCHES, disaster=DISASTERS)
    def patch_while_disaster_strikes(self, process: int, shadow: int, patch: Patch, disaster: str) -> None:
        async def both() -> None:
            peer = self.world.peers[process]
            await asyncio.gather(self._patch(peer, self.keys[shadow], patch), self._strike(disaster))

        self.world.run(both())

    @rule(process=PROCESSES, is_killed=st.booleans())
    def exchange_a_process(self, process: int, is_killed: bool) -> None:
        self.world.run(self._exchange(process, is_killed=is_killed))

    @precondition(lambda self: any(peer.recovery.is_rebuilding for peer in self.world.peers))
    @rule(process=PROCESSES)
    def rebuild(self, process: int) -> None:
        self.world.run(answered(self.world.peers[process].rebuild))

    @invariant()
    def everything_is_as_it_is_known(self) -> None:
        async def check() -> None:
            for number, key in enumerate(self.keys):
                await self._check(self.world.peers[(number + len(self.past[key])) % 2], key)

        self.world.run(check())

    async def _patch(self, peer: Peer, key: ShadowKey, patch: Patch, *, version: int | None = None) -> None:
        async def make() -> ShadowChange:
            asked = ShadowPatch(patch, version=version)
            return await peer.service.update_shadow(attempt=ATTEMPT, key=key, patch=asked)

        await self._make(peer, key, ChangeKind.UPDATED, self.known[key].change(patch), make)

    async def _delete(self, peer: Peer, key: ShadowKey) -> None:
        async def make() -> ShadowChange:
            return await peer.service.delete_shadow(attempt=ATTEMPT, key=key)

        if self.known[key].is_there:
            await self._make(peer, key, ChangeKind.DELETED, self.known[key].delete(), make)
            return
        try:
            await answered(make)
        except ShadowNotFoundError:
            return
        raise AssertionError("It was deleted, though it was not there.")

    async def _refuse(self, peer: Peer, key: ShadowKey, off: int) -> None:
        version = self.known[key].version + off
        patch = ShadowPatch({REPORTED: {"a": 1}}, version=version)
        try:
            await answered(lambda: peer.service.update_shadow(attempt=ATTEMPT, key=key, patch=patch))
        except ShadowVersionConflictError:
            return
        raise AssertionError("It was written, though it was at another version.")

    async def _make(
        self, peer: Peer, key: ShadowKey, kind: ChangeKind, after: Known, make: Callable[[], Awaitable[ShadowChange]]
    ) -> None:
        try:
            version = (await make()).version
        except ShadowChangeUnconfirmedError:
            self.is_sure = False
            version = await answered(lambda: self._find_out(peer, key))
            if (version - after.version) % VERSION_JUMP:
                return
        except UnavailableError:
            return
        self.known[key] = self._go_on(after, version)
        self.past[key][version] = kind, self.known[key]

    async def _find_out(self, peer: Peer, key: ShadowKey) -> int:
        """Give the last version of a shadow, once the journal has all that was made."""
        try:
            page = await peer.history.list_changes(key=key, start=None, end=None, limit=1, cursor=None)
        except ShadowNotFoundError:
            return 0
        return page.items[0].version if page.items else 0

    async def _strike(self, disaster: str) -> None:
        await self.world.strike("killed" if disaster == "older" and not self.has_older else disaster)

    async def _exchange(self, process: int, *, is_killed: bool) -> None:
        peer = self.world.peers[process]
        if is_killed:
            # What it alone knew would be lost with it.
            await answered(lambda: self._find_out(peer, self.keys[0]))
            self.is_sure = False
            await peer.die()
        else:
            await peer.leave()
        self.world.peers[process] = self.world.start_peer()

    async def _check(self, peer: Peer, key: ShadowKey) -> None:
        known = self.known[key]
        try:
            document = await answered(lambda: peer.service.get_shadow(key=key))
        except ShadowNotFoundError:
            assert not known.is_there, key
            return
        if document.version != known.version:
            self.known[key] = known = self._go_on(known, document.version)
            self.past[key][known.version] = ChangeKind.RESTORED, known
        state = {name: section for name, section in document.state.items() if name != "delta"}
        assert (state, document.versions, True) == (known.state, known.versions, known.is_there), key

    def _go_on(self, known: Known, version: int) -> Known:
        steps = version - known.version
        assert steps == 0 or (steps > 0 and steps % VERSION_JUMP == 0 and not self.is_sure), (known, version)
        return known.go_on(steps)

    async def _end(self) -> None:
        try:
            for number, key in enumerate(self.keys):
                await self._check_past(self.world.peers[number % 2], key)
        finally:
            await self.world.end()

    async def _check_past(self, peer: Peer, key: ShadowKey) -> None:
        """Hold the history, and the shadow at every version, against what was seen when they were made."""
        if await answered(lambda: self._find_out(peer, key)) == 0:
            assert not self.past[key]
            return
        page = await peer.history.list_changes(key=key, start=None, end=None, limit=500, cursor=None)
        told = {change.version: change.kind for change in page.items}
        assert [change.version for change in page.items] == sorted(told, reverse=True)
        for version, (kind, known) in self.past[key].items():
            assert told.pop(version) == kind, (key, version)
            if known.is_there:
                was = await peer.history.get_version(key=key, version=version)
                assert describe(was) == (known.state, known.version, known.versions), (key, version)
        assert set(told.values()) <= {ChangeKind.RESTORED}, (key, told)
