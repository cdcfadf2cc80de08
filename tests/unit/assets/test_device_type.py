"""What a device type may say."""

from typing import Any

import pytest

from iotsphere.assets.device_type import MAX_METRICS, DeviceTypeDefinition
from iotsphere.assets.errors import AssetTooLargeError, DeviceTypeTooLargeError
from iotsphere.kernel.errors import RuleViolationError


def metric(name: str = "flow", **more: Any) -> dict[str, Any]:
    return {"name": name, "unit": "l/min", "type": "number"} | more


def fields_refused(**said: Any) -> list[str]:
    with pytest.raises(RuleViolationError) as refusal:
        DeviceTypeDefinition(**said)
    return list(refusal.value.errors)


def test_keeps_what_it_was_given_exactly() -> None:
    said: dict[str, Any] = {
        "metrics": [metric(min=0, max=60.5), metric("on", unit="", type="boolean"), metric("a_.:-9", min=3, max=3.0)],
        "capabilities": [{"name": "variable-speed", "max_rpm": 2900, "modes": []}],
        "shadow_schema": {"type": "object", "x-order": [1, 1.0, {}, []]},
        "maintenance": {"seal": {"every_hours": 8000}},
    }

    definition = DeviceTypeDefinition(**said)

    assert {name: getattr(definition, name) for name in said} == said


def test_may_say_nothing() -> None:
    definition = DeviceTypeDefinition()

    assert (definition.metrics, definition.capabilities, definition.maintenance) == ([], [], {})
    assert definition.shadow_schema is None


@pytest.mark.parametrize("name", ["", "1a", "a b", "a" * 129, "ä", "a\n", "-a"])
def test_a_metric_has_a_name_that_readings_can_have(name: str) -> None:
    assert fields_refused(metrics=[metric(), metric(name)]) == ["metrics.1.name"]


def test_of_two_metrics_of_one_name_the_second_is_refused() -> None:
    assert fields_refused(metrics=[metric(), metric("other"), metric()]) == ["metrics.2.name"]


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    assert fields_refused(metrics=[metric(min=2, max=1.5)]) == ["metrics.0.max"]


@pytest.mark.parametrize("bound", ["min", "max"])
@pytest.mark.parametrize("kind", ["boolean", "string", "object"])
def test_only_a_number_has_a_range(kind: str, bound: str) -> None:
    assert fields_refused(metrics=[metric(type=kind) | {bound: 1}]) == [f"metrics.0.{bound}"]


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_bound_is_a_finite_number(value: float) -> None:
    assert fields_refused(metrics=[metric(min=value)]) == ["metrics.0.min"]


def test_a_capability_has_a_name() -> None:
    assert fields_refused(capabilities=[{"name": "a"}, {"max_rpm": 1}]) == ["capabilities.1.name"]


@pytest.mark.parametrize("document", [{"a": "\0"}, {"a": "\ud800"}, {"\0": 1}])
@pytest.mark.parametrize("field", ["maintenance", "shadow_schema"])
def test_what_cannot_be_stored_is_refused_with_its_place(field: str, document: dict[str, Any]) -> None:
    assert fields_refused(**{field: document})[0].startswith(field)


@pytest.mark.parametrize("field", ["maintenance", "shadow_schema"])
def test_what_is_nested_endlessly_is_refused(field: str) -> None:
    document: dict[str, Any] = {}
    for _ in range(900):
        document = {"not": document}

    assert fields_refused(**{field: document})[0].startswith(f"{field}.not")


def test_has_a_limited_number_of_metrics() -> None:
    assert fields_refused(metrics=[metric(f"m{number}") for number in range(MAX_METRICS + 1)]) == ["metrics"]


@pytest.mark.parametrize(
    "said",
    [
        {"maintenance": {"notes": "x" * 65_536}},
        {"shadow_schema": {"description": "x" * 65_536}},
        {
            "metrics": [metric(f"m{number}", unit="u" * 60) for number in range(500)],
            "maintenance": {"a": "x" * 20_000},
        },
    ],
)
def test_takes_64_kib_together(said: dict[str, Any]) -> None:
    with pytest.raises(DeviceTypeTooLargeError):
        DeviceTypeDefinition(**said)


def test_has_no_more_capabilities_than_an_asset_may_have() -> None:
    with pytest.raises(AssetTooLargeError):
        DeviceTypeDefinition(capabilities=[{"name": "a", "notes": "x" * 262_144}])
