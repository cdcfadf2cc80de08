from hypothesis import given
from hypothesis import strategies as st

from iotsphere.assets.line_order import MAX_ROUND_BYTES, Step, plan_rounds

tokens = st.sampled_from("abcd")
steps = st.lists(
    st.builds(Step, st.lists(tokens, max_size=2), st.lists(tokens, max_size=1), st.booleans(), st.integers(0, 10**7)),
    max_size=20,
)


def test_what_is_below_something_comes_a_round_later() -> None:
    assert plan_rounds([Step("a"), Step("b", "a"), Step("c"), Step("d", "b"), Step("e", "a")]) == [
        [0, 2],
        [1, 4],
        [3],
    ]


def test_two_lines_for_one_asset_come_one_after_the_other() -> None:
    assert plan_rounds([Step("a"), Step("a"), Step("b"), Step("a")]) == [[0, 2], [1], [3]]


def test_an_asset_moves_when_what_is_put_below_it_is_there() -> None:
    assert plan_rounds([Step("b", "a"), Step("c", "a"), Step("a", "d")]) == [[0, 1], [2]]


def test_what_is_alone_comes_between_what_is_above_and_what_is_below_it() -> None:
    assert plan_rounds([Step("a"), Step("b"), Step("c", "", True), Step("d"), Step("e")]) == [[0, 1], [2], [3, 4]]


def test_so_much_is_changed_in_one_round_and_no_more() -> None:
    large = Step(size=MAX_ROUND_BYTES // 2)
    assert plan_rounds([large, large, large, Step(size=2 * MAX_ROUND_BYTES), Step()]) == [[0, 1, 4], [2], [3]]


@given(steps)
def test_no_line_comes_before_one_that_it_builds_on(given_steps: list[Step]) -> None:
    rounds = plan_rounds(given_steps)

    assert sorted(line for lines in rounds for line in lines) == list(range(len(given_steps)))
    numbers = {line: number for number, lines in enumerate(rounds) for line in lines}
    for line, step in enumerate(given_steps):
        for earlier, other in enumerate(given_steps[:line]):
            touched = {*other.changes, *other.needs}
            if touched & {*step.changes} or {*other.changes} & {*step.needs} or step.is_alone or other.is_alone:
                assert numbers[earlier] < numbers[line]
