"""The command line. Every command is a function in a module of its own; here they get their names."""

import sys

import typer
from rich.console import Console

from iotsphere.cli.errors import CommandError
from iotsphere.cli.migrate import migrate
from iotsphere.cli.replay import replay
from iotsphere.cli.serve import serve, work
from iotsphere.cli.simulate import simulate
from iotsphere.cli.up import up
from iotsphere.config import SettingsError

app = typer.Typer(name="iotsphere", help="A multi-database IoT platform.", no_args_is_help=True, add_completion=False)
app.command()(up)
app.command()(serve)
app.command("worker")(work)
app.command()(migrate)
app.command()(simulate)
app.command()(replay)


def main() -> None:
    """Run the command line; whatever goes wrong ends in one sentence and exit status 1."""
    try:
        app()
    except (CommandError, SettingsError) as error:
        _fail(str(error))


def _fail(sentence: str) -> None:
    Console(stderr=True, soft_wrap=True).print(f"[red]iotsphere:[/red] {sentence}", highlight=False)
    sys.exit(1)
