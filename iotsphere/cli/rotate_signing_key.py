"""``iotsphere rotate-signing-key``: lets a new key sign access tokens, and nobody is logged out."""

import asyncio

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from iotsphere.cli.errors import CommandError
from iotsphere.cli.services import services_on
from iotsphere.cli.session import JsonOption
from iotsphere.cli.settings import DataDirOption, complete, no_address_of
from iotsphere.config import Settings, read_settings
from iotsphere.identity.errors import SigningKeysUnreadableError
from iotsphere.identity.model import SigningKey
from iotsphere.identity.signing import SIGNS_AFTER
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.times import format_time


def rotate_signing_key(*, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Make a new signing key. Tokens that older ones have signed stay good until they expire.

    The environment names the registry and has the secret key, or a platform that 'up' runs.
    """
    key = asyncio.run(rotate(complete(read_settings(), data_dir)))
    told = {
        "id": str(key.id),
        "created_at": format_time(key.created_at),
        "signs_from": format_time(key.created_at + SIGNS_AFTER),
    }
    if as_json:
        typer.echo(msgspec.json.encode(told))
        return
    table = Table(*told)
    table.add_row(*told.values())
    Console().print(table)


async def rotate(settings: Settings) -> SigningKey:
    """Make a key in the registry that the settings name.

    :raises CommandError: they name none, or no secret key; it does not answer, or its keys have another secret key.
    """
    if settings.registry_dsn is None:
        raise CommandError(no_address_of("registry"))
    if settings.secret_key is None:
        raise CommandError("IOTSPHERE_SECRET_KEY is not set, and the data folder has no secret key: see --data-dir.")
    try:
        async with services_on(settings) as container:
            key: SigningKey = await container.identity.ring().rotate_key()
    except (UnavailableError, SigningKeysUnreadableError) as error:
        raise CommandError(error.detail) from error
    return key
