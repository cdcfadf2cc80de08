"""The values of properties that are kept in order, as far as a search asks for them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.kernel.identifiers import OrganisationId
from repositories.assets.tables import property_paths

MAX_PATHS = 256
MAX_PATH_BYTES = 256
"""Of so many properties of an organisation the values are kept, and of those whose path is no longer than this."""
NOBODYS = -1

Keys = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeptPaths:
    """The numbers of an organisation's properties of which the values are kept."""

    numbers: Mapping[Keys, int] = field(default_factory=dict)

    def find(self, keys: Keys) -> int | None:
        """Give the number of a property: nobody's if no asset can have such a value, None if they are not kept."""
        has_room = len(self.numbers) < MAX_PATHS and len(".".join(keys).encode()) <= MAX_PATH_BYTES
        return self.numbers.get(keys, NOBODYS if has_room else None)


NO_PATHS = KeptPaths()


async def find_paths(connection: AsyncConnection, organisation_id: OrganisationId) -> KeptPaths:
    query = sa.select(property_paths.c.name, property_paths.c.path)
    rows = await connection.execute(query.where(property_paths.c.organisation_id == organisation_id))
    return KeptPaths({tuple(row.name): row.path for row in rows})
