"""The command line. Every command is a function in a module of its own; here they get their names."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import typer

from iotsphere.cli.errors import ending_in_one_sentence

ROLE_PACKAGE = "iotsphere.cli.roles"

# Each with its module and its function there, or a ``Typer`` of several.
COMMANDS = {
    "up": ("up", "up"),
    "migrate": ("migrate", "migrate"),
    "rotate-signing-key": ("rotate_signing_key", "rotate_signing_key"),
    "doctor": ("doctor", "doctor"),
    "simulate": ("simulate", "simulate"),
    "replay": ("replay", "replay"),
    "export": ("exporting", "export"),
    "import": ("importing", "import_file"),
    "serve": ("main", "serve"),
    "worker": ("main", "worker"),
    "archive": ("archive", "app"),
    "telemetry": ("storage", "app"),
}


def serve() -> None:
    """Answer HTTP. The environment names the stores; none of them needs to be up yet."""
    _become("serve")


def worker() -> None:
    """Carry news between the stores, in the background. The environment names the stores."""
    _become("worker")


def _become(role: str) -> NoReturn:
    os.execv(sys.executable, [sys.executable, "-m", f"{ROLE_PACKAGE}.{role}"])  # noqa: S606  # no shell is wanted


def make_app(arguments: Sequence[str] = ()) -> typer.Typer:
    """Make the command line for these arguments.

    With the command that they ask for alone, as to load what all the others need takes seconds; where they ask for
    none, with all.
    """
    app = typer.Typer(
        name="iotsphere", help="A multi-database IoT platform.", no_args_is_help=True, add_completion=False
    )
    # Without one, a single command would be the whole command line, and its name an argument too many.
    app.callback()(lambda: None)
    asked = COMMANDS.keys() & set(arguments[:1]) or COMMANDS.keys()
    for name, (module, member) in COMMANDS.items():
        if name in asked:
            command = getattr(import_module(f"iotsphere.cli.{module}"), member)
            if isinstance(command, typer.Typer):
                app.add_typer(command, name=name)
            else:
                app.command(name)(command)
    return app


def main() -> None:
    with ending_in_one_sentence():
        make_app(sys.argv[1:])()
