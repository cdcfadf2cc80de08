"""``iotsphere archive``: what the archive of readings holds, and days of it back into the store."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from iotsphere.cli.errors import CommandError
from iotsphere.cli.services import services_on
from iotsphere.cli.session import JsonOption, progress_bar
from iotsphere.cli.settings import DataDirOption, complete, no_address_of
from iotsphere.config import read_settings
from iotsphere.kernel.errors import ConflictError, UnavailableError
from iotsphere.kernel.times import EPOCH, format_time, parse_time
from iotsphere.telemetry.archive import ArchiveService
from iotsphere.telemetry.archived import ArchivedDay
from iotsphere.telemetry.bounds import LATEST_END

StartOption = Annotated[str | None, typer.Option(help="The first time that is meant, with its offset.")]
EndOption = Annotated[str | None, typer.Option(help="The time before which it ends.")]

# With the name of its class.
NamedDay = tuple[str, ArchivedDay]

app = typer.Typer(help="Look into the archive of readings, and bring days back from it.", no_args_is_help=True)


@app.command("list")
def list_archive(
    start: StartOption = None, end: EndOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """Show which days are in the archive. The environment names the telemetry store, or a platform that 'up' runs."""
    first, behind = _read_range(start, end)

    async def find(archive: ArchiveService) -> list[NamedDay]:
        return await _named(archive, await archive.list_days(start=first, end=behind))

    _show(asyncio.run(_with_archive(data_dir, find)), as_json=as_json)


@app.command()
def restore(
    start: Annotated[str, typer.Option(help="The first time that is wanted, with its offset.")],
    end: Annotated[str, typer.Option(help="The time before which it ends.")],
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring whole days (UTC) back into the store for 30 days; what is there stays. To repeat it does no harm."""
    first, behind = _read_range(start, end)

    async def bring(archive: ArchiveService) -> list[NamedDay]:
        wanted = await archive.list_days(start=first, end=behind)
        with progress_bar(hidden=as_json) as progress:
            task = progress.add_task("Restoring readings", total=sum(archived.file.readings for archived in wanted))

            def tell(_: ArchivedDay, readings: int) -> None:
                progress.update(task, advance=readings)

            return await _named(archive, await archive.restore_days(start=first, end=behind, tell=tell))

    _show(asyncio.run(_with_archive(data_dir, bring)), as_json=as_json)


async def _named(archive: ArchiveService, days: Sequence[ArchivedDay]) -> list[NamedDay]:
    names = await archive.name_classes()
    return [(names[archived.number], archived) for archived in days]


async def _with_archive(data_dir: Any, work: Callable[[ArchiveService], Awaitable[list[NamedDay]]]) -> list[NamedDay]:
    """:raises CommandError: what is needed is not known or does not answer, or it is refused."""
    settings = complete(read_settings(), data_dir)
    if settings.telemetry_dsn is None:
        raise CommandError(no_address_of("telemetry"))
    try:
        async with services_on(settings) as container:
            return await work(container.telemetry.archive())
    except (UnavailableError, ConflictError) as error:
        raise CommandError(error.detail) from error


def _read_range(start: str | None, end: str | None) -> tuple[datetime, datetime]:
    return _read("--start", start, EPOCH), _read("--end", end, LATEST_END)


def _read(option: str, text: str | None, default: datetime) -> datetime:
    if text is None:
        return default
    try:
        return min(max(parse_time(text), EPOCH), LATEST_END)
    except ValueError as error:
        raise CommandError(f"{option}: {error}") from error


def _show(days: Sequence[NamedDay], *, as_json: bool) -> None:
    told = [
        {
            "day": archived.day.isoformat(),
            "retention_class": name,
            "readings": archived.file.readings,
            "bytes": archived.file.size,
            "sha256": archived.file.sha256,
            "restored_until": archived.restored_until and format_time(archived.restored_until),
        }
        for name, archived in days
    ]
    if as_json:
        typer.echo(msgspec.json.encode({"days": told}))
        return
    if not told:
        typer.echo("Nothing of that time is in the archive.")
        return
    table = Table("day", "class", "readings", "bytes", "in the store until")
    for day in told:
        numbers = f"{day['readings']:,}", f"{day['bytes']:,}"
        table.add_row(str(day["day"]), str(day["retention_class"]), *numbers, str(day["restored_until"] or ""))
    Console().print(table)
