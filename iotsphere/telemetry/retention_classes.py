"""What is said of how long readings are kept, class by class; all organisations share the store."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from iotsphere.kernel.clock import Clock
from iotsphere.kernel.errors import PreconditionFailedError, RuleViolationError
from iotsphere.kernel.pagination import Page, decode_cursor, encode_cursor
from iotsphere.telemetry.errors import DefaultClassError, RetentionClassNotFoundError, TooManyClassesError
from iotsphere.telemetry.ports import RetentionRepository, TelemetryUnitOfWorkFactory
from iotsphere.telemetry.retention import (
    CLASS_NAME,
    DEFAULT_CLASS,
    EVERYTHING,
    FOR_EVER,
    RetentionClass,
    RollupDays,
    Scope,
)
from iotsphere.telemetry.retention_rules import MOST_CLASSES

ARCHIVED_TOO_SHORT = "Must be more than raw_days: that is when readings go to the archive."
ROLLUPS_TOO_SHORT = "Must not be less than {shorter}: figures outlive what they are worked out from."
ALWAYS_EVERYTHING = "The default class is for whatever no other class is for."
NO_NAME = "Must be a lower-case letter, then up to 62 of a-z, 0-9 and -."


class RetentionService:
    def __init__(self, *, unit_of_work: TelemetryUnitOfWorkFactory, clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock

    async def list_classes(self, *, limit: int, cursor: str | None = None) -> Page[RetentionClass]:
        """Give the classes that there are, by name.

        :raises CursorMalformedError: the cursor is not one of such a list.
        """
        after = decode_cursor(cursor, tuple[str])[0] if cursor is not None else ""
        async with self._unit_of_work() as uow:
            every = await uow.retention.list()
        found = [each for each in every if each.deleted_at is None and each.name > after]
        shown = found[:limit]
        return Page(shown, encode_cursor(shown[-1].name) if len(found) > limit else None)

    async def get_class(self, *, name: str) -> RetentionClass:
        """:raises RetentionClassNotFoundError: there is none of that name."""
        async with self._unit_of_work() as uow:
            return await _get(uow.retention, name)

    async def redefine_class(
        self,
        *,
        name: str,
        raw_days: int | None,
        archive_days: int | None = None,
        rollup_days: RollupDays = FOR_EVER,
        scope: Scope = EVERYTHING,
        expected_version: int | None = None,
    ) -> RetentionClass:
        """Say what a class is for, and for how long it is kept from now on; at version 1 it is new.

        Nothing is dropped before all processes know. Metrics that are of another class by that move two to three
        days later. What was deleted comes back with what is of it still.

        :raises RuleViolationError: what is worked out from something else, or archived, would be kept no longer.
        :raises TooManyClassesError: there have been as many as there may ever be.
        :raises PreconditionFailedError: it has another version than the expected one, or there is none.
        """
        if CLASS_NAME.fullmatch(name) is None:
            raise RuleViolationError(NO_NAME, {"retention_class": [NO_NAME]})
        _check_ages(raw_days, archive_days, rollup_days)
        if name == DEFAULT_CLASS and scope != EVERYTHING:
            raise RuleViolationError(ALWAYS_EVERYTHING, {"priority": [ALWAYS_EVERYTHING]})
        async with self._unit_of_work() as uow:
            every = await _hold(uow.retention)
            present = next((each for each in every if each.name == name), None)
            _check_version(present, expected_version)
            redefined = replace(
                present or _new(name, every, self._clock()),
                raw_days=raw_days,
                archive_days=archive_days,
                rollup_days=rollup_days,
                scope=scope,
                deleted_at=None,
            )
            if present is None:
                await uow.retention.add(_ruled(redefined, every))
            else:
                redefined = _changed(present, redefined, every, self._clock())
                await uow.retention.save(redefined)
            await uow.commit()
        return redefined

    async def remove_class(self, *, name: str, expected_version: int | None = None) -> RetentionClass:
        """Let a class be for nothing any more; what is of it stays, and goes by its ages.

        :raises DefaultClassError: it is the default class.
        :raises RetentionClassNotFoundError: there is none of that name.
        :raises PreconditionFailedError: it has another version than the expected one.
        """
        if name == DEFAULT_CLASS:
            raise DefaultClassError
        async with self._unit_of_work() as uow:
            every = await _hold(uow.retention)
            present = await _get(uow.retention, name)
            _check_version(present, expected_version)
            removed = replace(present, deleted_at=self._clock(), version=present.version + 1)
            await uow.retention.save(_ruled(removed, every))
            await uow.commit()
        return removed


async def _get(classes: RetentionRepository, name: str) -> RetentionClass:
    # Looked at before a store does, which may not be able to.
    if CLASS_NAME.fullmatch(name) is None:
        raise RetentionClassNotFoundError
    found = await classes.get(name)
    if found.deleted_at is not None:
        raise RetentionClassNotFoundError
    return found


async def _hold(classes: RetentionRepository) -> list[RetentionClass]:
    """Give all classes, and keep others from changing any, or adding one, before the commit."""
    await classes.get(DEFAULT_CLASS, for_update=True)
    return await classes.list(for_update=True)


def _new(name: str, every: Iterable[RetentionClass], now: datetime) -> RetentionClass:
    taken = {each.number for each in every}
    number = next((number for number in range(MOST_CLASSES) if number not in taken), None)
    if number is None:
        raise TooManyClassesError(MOST_CLASSES)
    return RetentionClass(name, changed_at=now, number=number)


def _changed(
    present: RetentionClass, redefined: RetentionClass, every: Iterable[RetentionClass], now: datetime
) -> RetentionClass:
    """Make it the next version; who says the same again, however often, puts no dropping off."""
    if redefined != present:
        redefined = replace(redefined, changed_at=now)
    if redefined.scope != present.scope or present.deleted_at is not None:
        redefined = _ruled(redefined, every)
    return replace(redefined, version=present.version + 1)


def _ruled(changed: RetentionClass, every: Iterable[RetentionClass]) -> RetentionClass:
    """Make it the latest change of the rules, which all devices then follow."""
    return replace(changed, rules=max(each.rules for each in every) + 1)


def _check_version(present: RetentionClass | None, expected: int | None) -> None:
    if expected is None:
        return
    if present is None or present.deleted_at is not None:
        raise PreconditionFailedError("There is no retention class of that name.")
    if present.version != expected:
        raise PreconditionFailedError(f"The retention class is at version {present.version}.")


def _check_ages(raw_days: int | None, archive_days: int | None, rollup_days: RollupDays) -> None:
    if archive_days is not None and (raw_days is None or archive_days <= raw_days):
        raise RuleViolationError(ARCHIVED_TOO_SHORT, {"archive_days": [ARCHIVED_TOO_SHORT]})
    shorter, least = "raw_days", raw_days
    for resolution, days in rollup_days._asdict().items():
        name = f"{resolution}_rollup_days"
        if days is not None and (least is None or days < least):
            message = ROLLUPS_TOO_SHORT.format(shorter=shorter)
            raise RuleViolationError(message, {name: [message]})
        shorter, least = name, days
