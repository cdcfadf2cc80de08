"""``iotsphere telemetry``: what room the readings take, and how much of it is compressed."""

import asyncio
from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from iotsphere.cli.errors import CommandError
from iotsphere.cli.services import services_on
from iotsphere.cli.session import WIDTH_OF_A_FILE, JsonOption, progress_bar
from iotsphere.cli.settings import DataDirOption, complete, no_address_of
from iotsphere.config import read_settings
from iotsphere.kernel.errors import UnavailableError
from iotsphere.telemetry.compressing import CompressingService
from iotsphere.telemetry.storage import StorageReport

app = typer.Typer(help="Look at the telemetry store.", no_args_is_help=True)


@app.command()
def size(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Go through all readings, and show how many bytes a point takes, compressed and not.

    The environment names the telemetry store, or a platform that 'up' runs.
    """
    settings = complete(read_settings(), data_dir)
    if settings.telemetry_dsn is None:
        raise CommandError(no_address_of("telemetry"))

    async def work() -> tuple[str, StorageReport]:
        try:
            async with services_on(settings) as container:
                engine = await container.stores.telemetry_probe().probe()
                return engine, await _measure(container.telemetry.compressing(), is_hidden=as_json)
        except UnavailableError as error:
            raise CommandError(error.detail) from error

    engine, report = asyncio.run(work())
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(describe(engine, report)), indent=2))
    else:
        _show(describe(engine, report))


async def _measure(compressing: CompressingService, *, is_hidden: bool) -> StorageReport:
    with progress_bar(hidden=is_hidden) as progress:
        task = progress.add_task("Counting points, bytes", total=None)
        return await compressing.measure(tell=lambda done, total: progress.update(task, completed=done, total=total))


def describe(engine: str, report: StorageReport) -> dict[str, Any]:
    """Tell what is known, with figures as JSON has them."""
    return {
        "command": "telemetry size",
        "engine": engine,
        "compresses": report.can_compress,
        "compress_after_days": report.compress_after and report.compress_after.days,
        "chunks_to_compress": report.due,
        "points": report.points,
        "bytes": report.size,
        "bytes_per_point": _ratio(report.size, report.points),
        "tables": [
            {
                "table": share.table,
                "compressed": share.is_compressed,
                "chunks": share.chunks,
                "bytes": share.size,
                "readings": share.readings,
                "points": share.points,
                "bytes_per_reading": _ratio(share.size, share.readings),
                # Figures are of all points, whether their readings are still there compressed or not.
                "bytes_per_point": _ratio(share.size, report.points if share.points is None else share.points),
            }
            for share in report.shares
        ],
    }


def _ratio(size: int, amount: int | None) -> float | None:
    return round(size / amount, 2) if amount else None


def _show(described: dict[str, Any]) -> None:
    out = Console()
    out = out if out.is_terminal else Console(width=WIDTH_OF_A_FILE)
    table = Table("table", "kept by", "chunks", "bytes", "readings", "points", "bytes a reading", "bytes a point")
    for share in described["tables"]:
        table.add_row(
            share["table"],
            "column" if share["compressed"] else "row",
            *(
                _written(share[key])
                for key in ("chunks", "bytes", "readings", "points", "bytes_per_reading", "bytes_per_point")
            ),
        )
    out.print(table)
    out.print(f"{described['engine']}: {_plan_of(described)}", highlight=False)


def _plan_of(described: dict[str, Any]) -> str:
    if not described["compresses"]:
        return "this engine does not compress."
    if described["compress_after_days"] is None:
        return "nothing is compressed, as IOTSPHERE_COMPRESS_AFTER_DAYS says."
    return (
        f"chunks are compressed {described['compress_after_days']} days after their end; "
        f"{described['chunks_to_compress']} are yet to be."
    )


def _written(number: float | None) -> str:
    return "" if number is None else f"{number:,}"
