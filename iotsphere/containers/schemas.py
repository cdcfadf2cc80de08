"""The schemas of the SQL stores, for the command line; it may not reach the adapters itself."""

from sqlalchemy.exc import DBAPIError

from repositories.migrations import upgrade


class SchemaError(Exception):
    """A store's schema could not be brought up to date."""


def migrate_store(store: str, dsn: str) -> None:
    """Bring one store to the newest schema; with nothing to do this is a few milliseconds.

    :raises SchemaError: the store does not answer, or refuses.
    """
    try:
        upgrade(store, dsn)
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise SchemaError(f"The {store} store cannot be brought to this version's schema: {reason}.") from error
