"""The command line. Every command is a function in a module of its own; here they get their names."""

import os
import sys
from typing import NoReturn

import typer

from iotsphere.cli.archive import app as archive
from iotsphere.cli.doctor import doctor
from iotsphere.cli.errors import ending_in_one_sentence
from iotsphere.cli.exporting import export
from iotsphere.cli.importing import import_file
from iotsphere.cli.migrate import migrate
from iotsphere.cli.replay import replay
from iotsphere.cli.rotate_signing_key import rotate_signing_key
from iotsphere.cli.simulate import simulate
from iotsphere.cli.storage import app as telemetry
from iotsphere.cli.up import ROLE_PACKAGE, up

app = typer.Typer(name="iotsphere", help="A multi-database IoT platform.", no_args_is_help=True, add_completion=False)
app.command()(up)
app.command()(migrate)
app.command()(rotate_signing_key)
app.command()(doctor)
app.command()(simulate)
app.command()(replay)
app.command()(export)
app.command("import")(import_file)
app.add_typer(archive, name="archive", help="Look into the archive of readings, and bring days back from it.")

app.add_typer(telemetry, name="telemetry", help="Look at the telemetry store.")


@app.command()
def serve() -> None:
    """Answer HTTP. The environment names the stores; none of them needs to be up yet."""
    _become("serve")


@app.command()
def worker() -> None:
    """Carry news between the stores, in the background. The environment names the stores."""
    _become("worker")


def _become(role: str) -> NoReturn:
    # The other commands start in half the time for not loading what the roles need.
    os.execv(sys.executable, [sys.executable, "-m", f"{ROLE_PACKAGE}.{role}"])  # noqa: S606  # no shell is wanted


def main() -> None:
    with ending_in_one_sentence():
        app()
