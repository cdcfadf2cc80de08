from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotsphere.registry.contacts import REST
from iotsphere.registry.errors import TooManyLabelsError
from iotsphere.registry.model import (
    MAX_LABELS,
    ONLINE_FOR,
    Connectivity,
    DeviceStatus,
)
from tests.factories.registry import build_device

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
LABELS = st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=6)
PATCHES = st.dictionaries(st.text(max_size=3), st.text(max_size=3) | st.none(), max_size=6)


@pytest.mark.parametrize(
    ("last_seen_at", "connectivity"),
    [
        (None, Connectivity.UNKNOWN),
        (NOW, Connectivity.ONLINE),
        (NOW - ONLINE_FOR, Connectivity.ONLINE),
        (NOW - ONLINE_FOR - MOMENT, Connectivity.OFFLINE),
        (NOW + timedelta(minutes=5), Connectivity.ONLINE),
    ],
)
def test_a_device_is_online_for_a_while_after_it_was_heard_of(
    last_seen_at: datetime | None, connectivity: Connectivity
) -> None:
    assert build_device(last_seen_at=last_seen_at).connectivity(now=NOW) is connectivity


def test_a_device_that_goes_on_talking_stays_online() -> None:
    assert REST < ONLINE_FOR / 2


def test_a_change_leaves_what_is_not_given() -> None:
    device = build_device(labels={"a": "1"}, version=3)

    assert device.change(changed_at=NOW) == replace(device, updated_at=NOW, version=4)
    assert device.change(name="New", changed_at=NOW) == replace(device, name="New", updated_at=NOW, version=4)
    suspended = device.change(status=DeviceStatus.SUSPENDED, changed_at=NOW)
    assert suspended == replace(device, status=DeviceStatus.SUSPENDED, updated_at=NOW, version=4)


def test_labels_merge_key_by_key() -> None:
    device = build_device(labels={"kept": "1", "changed": "2", "removed": "3"})

    changed = device.change(labels={"changed": "", "removed": None, "missing": None, "added": "4"}, changed_at=NOW)

    assert changed.labels == {"kept": "1", "changed": "", "added": "4"}
    assert device.labels == {"kept": "1", "changed": "2", "removed": "3"}


@given(LABELS, PATCHES)
def test_after_a_merge_every_given_label_has_its_value_and_the_others_theirs(
    labels: dict[str, str], patch: dict[str, str | None]
) -> None:
    merged = build_device(labels=labels).change(labels=patch, changed_at=NOW).labels

    assert {key: merged.get(key) for key in patch} == patch
    assert {key: merged[key] for key in merged.keys() - patch.keys()} == {
        key: labels[key] for key in labels.keys() - patch.keys()
    }


def test_labels_do_not_pile_up() -> None:
    full = build_device(labels={str(number): "" for number in range(MAX_LABELS)})

    with pytest.raises(TooManyLabelsError) as refusal:
        full.change(labels={"one more": ""}, changed_at=NOW)
    exchanged = full.change(labels={"one more": "", "0": None}, changed_at=NOW)

    assert list(refusal.value.errors) == ["labels"]
    assert len(exchanged.labels) == MAX_LABELS
