import pytest

from iotsphere.assets.errors import AssetCycleError
from iotsphere.assets.place import MAX_LEVELS, Place, check_move, encode_place, level_behind, place_behind
from iotsphere.kernel.pagination import CursorMalformedError, encode_cursor


@pytest.mark.parametrize("target", [(1, 2), (1, 2, 3), (1, 2, 3, 4)])
def test_nothing_moves_below_itself(target: Place) -> None:
    with pytest.raises(AssetCycleError):
        check_move((1, 2), target)


@pytest.mark.parametrize("target", [(), (1,), (2,), (1, 3), (3, 1, 2), (1, 22)])
def test_it_moves_anywhere_else(target: Place) -> None:
    check_move((1, 2), target)


@pytest.mark.parametrize("place", [(1,), (2**63 - 1,), tuple(range(1, MAX_LEVELS + 1)), (2**63 - 1,) * MAX_LEVELS])
def test_a_cursor_gives_back_the_place_it_was_made_of(place: Place) -> None:
    assert place_behind(encode_place(place)) == place


def test_without_a_cursor_a_list_begins_at_its_beginning() -> None:
    assert place_behind(None) == ()
    assert level_behind(None) == 0


@pytest.mark.parametrize("numbers", [(), (0,), (-1,), (2**63,), (1.0,), ("1",), (None,), (1,) * (MAX_LEVELS + 1)])
def test_numbers_that_no_asset_has_are_no_cursor(numbers: tuple[object, ...]) -> None:
    with pytest.raises(CursorMalformedError):
        place_behind(encode_cursor(*numbers))


@pytest.mark.parametrize("levels", [(), (0,), (-1,), (MAX_LEVELS,), (2**64,), ("1",), (1, 2)])
def test_levels_that_no_ancestor_has_are_no_cursor(levels: tuple[object, ...]) -> None:
    with pytest.raises(CursorMalformedError):
        level_behind(encode_cursor(*levels))
