"""Whoever changes, removes, puts in or moves a sealed entry is found out, whatever the entries say."""

from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotsphere.audit.chain import FAULTS_TO_NAME, ChainWalk, canonical, seal, seal_key
from iotsphere.audit.model import AuditRecord, ChainFault, ChainFaultKind, ChainHead, ChainReport
from iotsphere.kernel.audit import AuditEntry, AuditOutcome
from tests.factories.audit import build_entry

KEY = seal_key("the secret key of the platform, of 32 characters")
OTHER_KEY = seal_key("another secret key, of which nobody here knows")
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
ENTRIES = st.builds(
    AuditEntry,
    id=st.uuids(),
    at=st.datetimes(timezones=st.just(UTC)),
    organisation_id=st.none() | st.uuids(),
    actor=TEXT,
    action=TEXT,
    target=st.none() | TEXT,
    address=TEXT,
    correlation_id=TEXT,
    outcome=st.sampled_from(AuditOutcome),
    code=st.none() | TEXT,
    details=st.dictionaries(TEXT, JSON, max_size=3),
)
CHAINS = st.lists(ENTRIES, min_size=1, max_size=8).map(lambda entries: list(seal(KEY, None, entries)))


def walk(records: list[AuditRecord], *keys: bytes) -> ChainReport:
    """Walk as the database hands the entries out, by their positions."""
    walk = ChainWalk(keys or [KEY])
    for record in sorted(records, key=position_of):
        walk.step(record)
    return walk.report


def position_of(record: AuditRecord) -> int:
    assert record.place is not None
    return record.place.position


@given(CHAINS)
def test_a_chain_that_nobody_touched_is_whole(chain: list[AuditRecord]) -> None:
    report = walk(chain)

    assert report.faults == []
    assert (report.sealed, report.head) == (len(chain), chain[-1].place)
    assert [position_of(record) for record in chain] == list(range(1, len(chain) + 1))


@given(CHAINS, st.data())
def test_any_change_of_any_field_is_found_where_it_was_made(chain: list[AuditRecord], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(chain) - 1))
    entry = chain[at].entry
    changed = data.draw(ENTRIES)
    name = data.draw(st.sampled_from(AuditEntry.__slots__))
    altered = replace(entry, **{name: getattr(changed, name)})
    chain[at] = replace(chain[at], entry=altered)

    faults = walk(chain).faults

    if canonical(altered, 1) == canonical(entry, 1):
        assert altered == entry
        assert faults == []
    else:
        assert faults == [ChainFault(ChainFaultKind.ALTERED, at + 1, at + 1, altered.id)]


@given(CHAINS, st.data())
def test_any_change_of_a_seal_is_found(chain: list[AuditRecord], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(chain) - 1))
    forged = data.draw(st.binary(min_size=32, max_size=32))
    chain[at] = replace(chain[at], place=ChainHead(at + 1, forged))

    # The one behind it no longer fits either, since it is tied to this one.
    found = [fault.position for fault in walk(chain).faults]
    assert found == [position for position in (at + 1, at + 2) if position <= len(chain)]


@given(CHAINS, st.data())
def test_any_removal_but_that_of_the_end_is_found(chain: list[AuditRecord], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(chain) - 1))
    last = data.draw(st.integers(first, len(chain) - 1))
    left = chain[:first] + chain[last + 1 :]

    report = walk(left)

    if last == len(chain) - 1:
        assert report.faults == []
        assert report.head == (left[-1].place if left else None)
    else:
        assert report.faults == [ChainFault(ChainFaultKind.MISSING, first + 1, last + 1)]


@given(CHAINS, st.data())
def test_any_exchange_is_found(chain: list[AuditRecord], data: st.DataObject) -> None:
    one, other = data.draw(st.tuples(*[st.integers(0, len(chain) - 1)] * 2).filter(lambda pair: pair[0] <= pair[1]))
    before = list(chain)
    for at, source in ((one, other), (other, one)):
        chain[at] = replace(before[at], entry=before[source].entry)

    positions = [fault.position for fault in walk(chain).faults]

    assert positions == ([] if one == other else [one + 1, other + 1])


@given(CHAINS, ENTRIES, st.data())
def test_an_entry_put_in_is_found(chain: list[AuditRecord], entry: AuditEntry, data: st.DataObject) -> None:
    position = data.draw(st.integers(-3, len(chain) + 3))
    put_in = next(seal(OTHER_KEY, ChainHead(position - 1, bytes(32)), [entry]))

    assert walk([*chain, put_in]).fault_count >= 1


@given(st.lists(ENTRIES, max_size=5), st.lists(ENTRIES, max_size=5))
def test_a_chain_goes_on_where_it_ended(first: list[AuditEntry], second: list[AuditEntry]) -> None:
    begun = list(seal(KEY, None, first))
    head = begun[-1].place if begun else None

    assert [*begun, *seal(KEY, head, second)] == list(seal(KEY, None, [*first, *second]))


@given(ENTRIES, ENTRIES)
def test_two_entries_are_written_alike_only_if_they_say_the_same(one: AuditEntry, other: AuditEntry) -> None:
    assert canonical(one, 1) != canonical(other, 1) or one == other


def test_details_are_written_alike_in_whatever_order_they_came() -> None:
    entry = build_entry(details={"a": {"x": 1, "y": [1.5, None]}, "b": 2})

    same = replace(entry, details={"b": 2, "a": {"y": [1.5, None], "x": 1}})

    assert canonical(same, 1) == canonical(entry, 1)


@pytest.mark.parametrize("details", [{"n": 1}, {"n": 1.0}, {"n": True}, {"n": "1"}, {"n": [1]}, {}, {"n": None}])
def test_values_that_compare_alike_are_told_apart(details: dict[str, Any]) -> None:
    entry = build_entry(details={"n": 2})

    assert walk([replace(next(seal(KEY, None, [entry])), entry=replace(entry, details=details))]).fault_count == 1


def test_a_microsecond_counts() -> None:
    entry = build_entry()
    moved = replace(entry, at=entry.at + timedelta(microseconds=1))

    assert walk([replace(next(seal(KEY, None, [entry])), entry=moved)]).fault_count == 1


def test_without_the_secret_key_no_seal_can_be_made() -> None:
    chain = list(seal(OTHER_KEY, None, [build_entry() for _ in range(3)]))

    assert walk(chain).fault_count == 3


def test_seals_of_a_replaced_key_are_good_up_to_where_its_successor_was_used() -> None:
    old = list(seal(OTHER_KEY, None, [build_entry() for _ in range(2)]))
    new = list(seal(KEY, old[-1].place, [build_entry() for _ in range(2)]))

    assert walk([*old, *new], OTHER_KEY, KEY).faults == []
    stolen = list(seal(OTHER_KEY, new[-1].place, [build_entry()]))
    assert [fault.position for fault in walk([*old, *new, *stolen], OTHER_KEY, KEY).faults] == [5]


def test_faults_are_told_one_by_one_and_not_without_end() -> None:
    chain = list(seal(KEY, None, [build_entry() for _ in range(2 * FAULTS_TO_NAME)]))
    altered = [replace(record, entry=replace(record.entry, actor="user:somebody else")) for record in chain]

    report = walk(altered)

    assert report.fault_count == 2 * FAULTS_TO_NAME
    assert [fault.position for fault in report.faults] == list(range(1, FAULTS_TO_NAME + 1))


def test_the_key_of_the_seals_is_none_of_the_secret_key_itself() -> None:
    secret_key = "x" * 32

    assert secret_key.encode() not in seal_key(secret_key)
    assert seal_key(secret_key) != seal_key("y" * 32)
    assert len(seal_key(secret_key)) == 32


def test_an_empty_chain_is_whole() -> None:
    assert walk([]) == ChainReport()


def test_an_entry_may_stand_for_any_id() -> None:
    entry = build_entry(id=UUID(int=0), organisation_id=uuid4())

    assert walk(list(seal(KEY, None, [entry]))).faults == []
