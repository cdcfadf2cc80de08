"""The settings of a command that works beside a platform: the environment, completed from ``up``'s data folder."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from iotsphere.cli.errors import CommandError
from iotsphere.config import Settings
from iotsphere.localstack.addresses import find_addresses
from iotsphere.localstack.errors import LocalStackError
from iotsphere.localstack.stored_secrets import Secrets

DEFAULT_DATA_DIR = Path("data")
ARCHIVE_FOLDER = "archive"

DataDirOption = Annotated[Path | None, typer.Option(help="Where 'up' keeps its data; DATA_DIR, or ./data.")]

SETTING_OF = {
    "registry": "registry_dsn",
    "assets": "assets_dsn",
    "telemetry": "telemetry_dsn",
    "shadow": "shadow_url",
}


def complete(settings: Settings, data_dir: Path | None) -> Settings:
    """Find what the environment does not say where ``up`` runs.

    :raises CommandError: the data folder cannot be read.
    """
    folder = (data_dir or settings.data_dir or DEFAULT_DATA_DIR).expanduser().absolute()
    try:
        running = find_addresses(folder)
        secret_key = settings.secret_key or Secrets(folder).find("secret_key")
    except OSError as error:
        raise CommandError(f"The data folder {folder} cannot be read: {error.strerror}.") from error
    except LocalStackError as error:
        raise CommandError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
    found = {name: getattr(settings, name) or getattr(running, name) for name in SETTING_OF.values()}
    archive_dir = settings.archive_dir
    if archive_dir is None and running.telemetry_dsn is not None:
        archive_dir = folder / ARCHIVE_FOLDER
    return replace(settings, secret_key=secret_key, archive_dir=archive_dir, **found)


def no_address_of(store: str) -> str:
    setting = f"IOTSPHERE_{SETTING_OF[store].upper()}"
    return f"{setting} is not set, and no platform runs on the data folder: see --data-dir."
