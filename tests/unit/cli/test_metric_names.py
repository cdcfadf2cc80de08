import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotsphere.cli.metric_names import metric_name, metric_names

PLATFORM_RULE = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}", re.ASCII)


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Volume Flow RateRMS", "volume_flow_rate_rms"),
        ("Accelerometer1RMS", "accelerometer1_rms"),
        ("Current", "current"),
        ("RMSValue", "rms_value"),
        ("value", "value"),
        ("boiler.top:t-1", "boiler.top:t-1"),
        ("Boiler.Top", "boiler_top"),
        ("2nd stage (°C)", "_2nd_stage_c"),
        ("Température d'entrée", "temperature_d_entree"),
        ("  spaced  out ", "spaced_out"),
    ],
)
def test_a_title_becomes_snake_case_unless_it_is_a_metric_name_already(title: str, name: str) -> None:
    assert metric_name(title) == name


@given(st.text(max_size=200))
def test_whatever_comes_out_is_a_metric_name_and_comes_out_of_itself(title: str) -> None:
    try:
        name = metric_name(title)
    except ValueError:
        return
    assert PLATFORM_RULE.fullmatch(name)
    assert metric_name(name) == name


@pytest.mark.parametrize("title", ["", "°", "温度", "x" * 129])
def test_a_title_of_which_nothing_or_too_much_is_left_is_refused_by_name(title: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(title))):
        metric_name(title)


def test_two_titles_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'Flow Rate' and 'flow_rate' would both be the metric 'flow_rate'"):
        metric_names(["Flow Rate", "other", "flow_rate"])
