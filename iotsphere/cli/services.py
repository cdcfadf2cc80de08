"""The platform's services, for a command that works on its stores without going through HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from iotsphere.config import Settings

if TYPE_CHECKING:
    from iotsphere.containers.application import Application


def load_services() -> None:
    """Load what they need, which is every driver, and takes seconds.

    For that reason it is not done with this module: whoever asks for help, or has mistyped, would wait for it.
    """
    for name in ("application", "schemas"):
        import_module(f"iotsphere.containers.{name}")


@asynccontextmanager
async def services_on(settings: Settings) -> "AsyncIterator[Application]":
    """Make the services, and close in the end every connection to a store of which an address is known."""
    from iotsphere.containers.application import create_container  # noqa: PLC0415
    from iotsphere.containers.stores import close_stores  # noqa: PLC0415

    container = create_container(settings)
    try:
        yield container
    finally:
        await close_stores(container.stores, unknown=stores_to_provide(settings))


def stores_to_provide(settings: Settings) -> frozenset[str]:
    """Name the stores for which the environment gives no address."""
    addresses = {
        "registry": settings.registry_dsn,
        "assets": settings.assets_dsn,
        "telemetry": settings.telemetry_dsn,
        "shadow": settings.shadow_url,
    }
    return frozenset(store for store, address in addresses.items() if address is None)
