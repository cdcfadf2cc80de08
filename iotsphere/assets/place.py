"""Where an asset stands in the tree of its organisation.

Every asset has a number that no other one ever has, given in the order in which assets are made. A place is the
numbers from the root down: those of the ancestors, and the asset's own as the last. Who is below whom can be told by
two places alone: the one begins with the other.
"""

from iotsphere.assets.errors import AssetCycleError
from iotsphere.kernel.pagination import CursorMalformedError, decode_cursor, encode_cursor

Place = tuple[int, ...]

MAX_LEVELS = 64
MANY = 10_000
"""A subtree of more assets than this is moved apart from what requests usually do: it may take seconds."""
_MAX_NUMBER = 2**63 - 1


def check_move(moved: Place, target: Place) -> None:
    """Refuse to put what is at ``moved`` below ``target``, if that is the thing itself or below it.

    :raises AssetCycleError: it is.
    """
    if target[: len(moved)] == moved:
        raise AssetCycleError


def encode_place(below: Place) -> str:
    """Make the cursor of a page of descendants: where the last one stands, seen from whose descendants they are.

    It holds good when the whole subtree moves in between.
    """
    return encode_cursor(*below)


def place_behind(cursor: str | None) -> Place:
    """Give back what ``encode_place`` was given, and of no cursor the place before all others.

    :raises CursorMalformedError: this is not a cursor of such a list.
    """
    if cursor is None:
        return ()
    below = decode_cursor(cursor, tuple[int, ...])
    if not 0 < len(below) <= MAX_LEVELS or not all(0 < number <= _MAX_NUMBER for number in below):
        raise CursorMalformedError
    return below


def level_behind(cursor: str | None) -> int:
    """Give how many ancestors have been shown, counted from the root.

    :raises CursorMalformedError: this is not a cursor of a list of ancestors.
    """
    if cursor is None:
        return 0
    (level,) = decode_cursor(cursor, tuple[int])
    if not 0 < level < MAX_LEVELS:
        raise CursorMalformedError
    return level
