"""``iotsphere migrate``: brings the SQL stores to this version's schema, and founds the platform the first time."""

import asyncio
import secrets

from rich.console import Console

from iotsphere.cli.errors import CommandError
from iotsphere.cli.services import services_on
from iotsphere.config import Settings, read_complete_settings
from iotsphere.kernel.errors import UnavailableError


def migrate() -> None:
    """Bring the SQL stores to this version's schema; on the first start, make the administrator."""
    settings = read_complete_settings()
    migrate_stores(settings)
    password = asyncio.run(found_platform(settings))
    console = Console()
    console.print("The registry, asset and telemetry stores have the schema of this version.")
    if password is not None:
        console.print(f"Administrator: {settings.admin_email}")
        if settings.admin_password is None:
            console.print(f"Password: {password}  (shown this once)", highlight=False)


def migrate_stores(settings: Settings) -> None:
    """Run what is missing of each SQL store's history.

    :raises CommandError: a store cannot be reached or does not let us.
    """
    # Likewise only here, with all that it needs.
    from iotsphere.containers.schemas import SchemaError, migrate_store  # noqa: PLC0415

    dsns = {
        "registry": settings.registry_dsn,
        "assets": settings.assets_dsn,
        "telemetry": settings.telemetry_dsn,
    }
    for store, dsn in dsns.items():
        try:
            migrate_store(store, dsn or "")
        except SchemaError as error:
            raise CommandError(str(error)) from error


async def found_platform(settings: Settings) -> str | None:
    """Make the first organisation and its administrator; give the password, or None where they are there already.

    :raises CommandError: the registry does not answer.
    """
    password = settings.admin_password or secrets.token_urlsafe(12)
    try:
        async with services_on(settings) as container:
            is_new = await container.identity.accounts().found_platform(email=settings.admin_email, password=password)
    except UnavailableError as error:
        raise CommandError(error.detail) from error
    return password if is_new else None
