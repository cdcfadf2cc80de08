import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from iotsphere.config import SettingsError


class CommandError(Exception):
    """A command cannot do what it was asked; the one sentence is all that the user needs."""


@contextmanager
def ending_in_one_sentence() -> Iterator[None]:
    """Tell the user what went wrong in one sentence, and end with exit status 1."""
    try:
        yield
    except (CommandError, SettingsError) as error:
        console = Console(stderr=True, soft_wrap=True)
        console.print("iotsphere: ", style="red", end="")
        console.print(str(error), markup=False, highlight=False)
        sys.exit(1)
