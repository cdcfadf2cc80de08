"""What the commands that speak to a running platform share: whom to speak to, as whom, and how they end."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Annotated, Any

import stamina.instrumentation
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from iotsphere.cli.errors import CommandError
from iotsphere.cli.report import Report, show, to_json
from iotsphere.config import ClientSettings, read_client_settings
from iotsphere.kernel.times import parse_time

WIDTH_OF_A_FILE = 160
"""Where no terminal says how wide it is, nothing needs to be folded."""

UrlOption = Annotated[
    str | None, typer.Option("--url", help="Where the platform is. (default: IOTSPHERE_URL or this machine)")
]
EmailOption = Annotated[str | None, typer.Option("--email", help="Who logs in. (default: IOTSPHERE_ADMIN_EMAIL)")]
PasswordOption = Annotated[
    str | None,
    typer.Option("--password", help="Other users see it. (default: IOTSPHERE_ADMIN_PASSWORD, or it is asked for)"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON report instead of bar and table.")]
ConcurrencyOption = Annotated[int, typer.Option(min=1, max=64, help="How many devices post at once.")]


def client_settings(url: str | None, email: str | None, password: str | None) -> ClientSettings:
    """Complete the options from the environment, and ask for a missing password where somebody can answer.

    :raises CommandError: there is no password and nobody to ask.
    """
    defaults = read_client_settings()
    password = password or defaults.password or _ask_password()
    return ClientSettings(url or defaults.url, email or defaults.email, password)


def _ask_password() -> str:
    if not sys.stdin.isatty():
        raise CommandError("No password: set IOTSPHERE_ADMIN_PASSWORD or give --password.")
    return str(typer.prompt("Password", hide_input=True, err=True))


def parse_start(text: str, option: str = "--start") -> datetime:
    """Read an option that is a time.

    :raises CommandError: it is no time with an offset.
    """
    try:
        return parse_time(text)
    except ValueError as error:
        raise CommandError(f"{option}: {error}") from error


def progress_bar(*, hidden: bool) -> Progress:
    """Make a bar on the error output, so that the report alone is on the output; none where nobody watches."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=hidden or not console.is_terminal)


def conduct(work: Callable[[], Coroutine[Any, Any, None]], report: Report, *, as_json: bool) -> None:
    """Do a command's work and tell how it went, also when it had to stop half-way.

    :raises typer.Exit: with status 1 where there was a problem, 130 where somebody pressed Ctrl-C.
    """
    stamina.instrumentation.set_on_retry_hooks([])
    status = 0
    try:
        asyncio.run(work())
    except CommandError as error:
        report.problems.append(str(error))
    except KeyboardInterrupt:
        report.problems.append("Stopped before the end. Run it again to complete it: what is stored stays.")
        status = 130
    if as_json:
        typer.echo(to_json(report))
    else:
        out = Console(width=None if sys.stdout.isatty() else WIDTH_OF_A_FILE)
        show(report, out=out, errors=Console(stderr=True))
    if report.problems:
        raise typer.Exit(status or 1)
