"""``iotsphere rotate-signing-key``: lets a new key sign access tokens, and nobody is logged out."""

import asyncio

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from iotsphere.cli.errors import CommandError
from iotsphere.cli.session import JsonOption
from iotsphere.config import Settings, read_complete_settings
from iotsphere.containers.application import create_container
from iotsphere.containers.stores import close_stores
from iotsphere.identity.model import SigningKey
from iotsphere.identity.signing import SIGNS_AFTER
from iotsphere.kernel.errors import UnavailableError
from iotsphere.kernel.times import format_time


def rotate_signing_key(*, as_json: JsonOption = False) -> None:
    """Make a new signing key. Tokens that older ones have signed stay good until they expire."""
    key = asyncio.run(rotate(read_complete_settings()))
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
    """:raises CommandError: the registry does not answer."""
    container = create_container(settings)
    try:
        key: SigningKey = await container.identity.ring().rotate_key()
    except UnavailableError as error:
        raise CommandError(error.detail) from error
    finally:
        await close_stores(container.stores)
    return key
