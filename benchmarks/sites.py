"""Sites of a hundred thousand assets each, put into the asset database itself: a site, ten buildings, a hundred
lines, 9 081 machines, and devices. Of the properties seventeen are texts and numbers, and one is a list.

What is put there is what an import leaves, in a fraction of the time, but for this: there is no history, the indexes
are as dense as those made anew, and rows lie in the order of creation, values in their own.
"""

import csv
import io
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec

SITE = 100_000
FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
MANUFACTURERS, COST_CENTRES = 38, 1_000
DESCRIBED = ("asset_type", "name", "properties", "capabilities")
COLUMNS = ("id", "organisation_id", *DESCRIBED, "created_at", "updated_at", "version", "parent_id")
PIECE_ROWS = 5_000
# Made anew at the end, which takes a fraction of the time: those that only searches go by.
INDEXES = r"""
SELECT indexname, indexdef FROM pg_indexes
WHERE tablename = 'assets' AND indexname LIKE 'ix\_assets\_organisation\_id%'
"""
PLACES = """
INSERT INTO places (number, path)
WITH RECURSIVE tree AS (
    SELECT id, number, int8send(number) AS path FROM assets WHERE organisation_id = $1 AND parent_id IS NULL
    UNION ALL
    SELECT child.id, child.number, tree.path || int8send(child.number)
    FROM tree JOIN assets child ON child.parent_id = tree.id
)
SELECT number, path FROM tree ORDER BY path
"""
# So that what is sorted is sorted in memory.
SETTINGS = "SET LOCAL work_mem = '256MB'; SET LOCAL maintenance_work_mem = '512MB'"
PATH = "INSERT INTO property_paths (organisation_id, name) VALUES ($1, ARRAY[$2]) RETURNING path"
# In their order, in which the newest path comes last: so their key grows at its end.
VALUES = """
INSERT INTO property_values (path, kind, num, txt, asset)
SELECT $3, kind, CASE kind WHEN 0 THEN value::double precision ELSE 0 END,
       CASE kind WHEN 0 THEN '' ELSE value #>> '{}' END COLLATE "C", number
FROM (SELECT number, properties -> $2 AS value FROM assets WHERE organisation_id = $1) AS member
CROSS JOIN LATERAL (
    SELECT CASE jsonb_typeof(value) WHEN 'number' THEN 0 WHEN 'string' THEN 1 ELSE 2 END AS kind
) AS told
ORDER BY 2, 3, 4, 5
"""


def parent_of(number: int) -> int | None:
    """Give the number of the one, within its site, that an asset is directly below."""
    within = number % SITE
    if within == 0:
        return None
    first = number - within
    if within <= 10:
        return first
    if within <= 110:
        return first + 1 + (within - 11) % 10
    if within <= 9191:
        return first + 11 + (within - 111) % 100
    return first + 111 + (within - 9192) % 9081


def type_of(number: int) -> str:
    ends = {0: "site", 10: "building", 110: "line", 9191: "machine", SITE: "device"}
    return next(kind for end, kind in ends.items() if number % SITE <= end)


def properties_of(number: int) -> dict[str, Any]:
    """Make properties that are the same for a number, and without an order that the numbers have."""
    chance = random.Random(number)  # noqa: S311  # no secret
    return {
        "serial": f"SN-{number:07}",
        "manufacturer": f"Manufacturer {chance.randrange(MANUFACTURERS)}",
        "model": f"MX-{chance.randrange(400)}",
        "cost_centre": f"CC-{chance.randrange(COST_CENTRES):04}",
        "rated_power_kw": chance.randrange(1, 100_000) / 1_000,
        "voltage": chance.choice([230, 400, 690]),
        "weight_kg": chance.randrange(5, 2_000),
        "protection_class": chance.choice(["IP20", "IP44", "IP54", "IP65"]),
        "efficiency": chance.randrange(600, 980) / 1_000,
        "poles": chance.choice([2, 4, 6, 8]),
        "rpm": chance.choice([720, 960, 1_450, 2_900]),
        "installed_on": (FIRST_DAY - timedelta(days=chance.randrange(6_000))).date().isoformat(),
        "warranty_until": (FIRST_DAY + timedelta(days=chance.randrange(2_000))).date().isoformat(),
        "hall": f"Hall {chance.randrange(50)}",
        "colour": chance.choice(["grey", "blue", "green", "red"]),
        "criticality": chance.choice(["A", "B", "C"]),
        "is_spare": chance.random() < 0.1,
        "standards": chance.sample(["ISO 5199", "IEC 60034", "EN 809", "ISO 9906", "ATEX"], 2),
    }


@dataclass
class Sites:
    """What an organisation has; ids are those of its assets, by their numbers."""

    organisation_id: UUID
    ids: list[UUID] = field(default_factory=list)

    async def grow(self, connection: asyncpg.Connection, size: int) -> None:
        """Give the organisation, which has none, so many assets, and every table its statistics."""
        self.ids = [uuid4() for _ in range(size)]
        async with connection.transaction():
            await connection.execute(SETTINGS)
            indexes = dict(await connection.fetch(INDEXES))
            for name in indexes:
                await connection.execute(f"DROP INDEX {name}")
            # Parents come with what is below them, and values one by one are slow.
            await connection.execute("ALTER TABLE assets DISABLE TRIGGER USER")
            await connection.copy_to_table("assets", source=self._pieces(), columns=COLUMNS, format="csv")
            await connection.execute("ALTER TABLE assets ENABLE TRIGGER USER")
            await connection.execute(PLACES, self.organisation_id)
            for name in (name for name, value in properties_of(0).items() if not isinstance(value, list)):
                path = await connection.fetchval(PATH, self.organisation_id, name)
                await connection.execute(VALUES, self.organisation_id, name, path)
            for definition in indexes.values():
                await connection.execute(definition)
        await connection.execute("VACUUM ANALYZE")

    async def _pieces(self) -> AsyncIterator[bytes]:
        for first in range(0, len(self.ids), PIECE_ROWS):
            written = io.StringIO()
            csv.writer(written).writerows(self._rows(range(first, min(first + PIECE_ROWS, len(self.ids)))))
            yield written.getvalue().encode()

    def _rows(self, numbers: range) -> Iterator[tuple[Any, ...]]:
        for number in numbers:
            parent = parent_of(number)
            moment = (FIRST_DAY + timedelta(seconds=number)).isoformat()
            yield (
                self.ids[number],
                self.organisation_id,
                type_of(number),
                f"{type_of(number).title()} {number}",
                msgspec.json.encode(properties_of(number)).decode(),
                "[]",
                moment,
                moment,
                1,
                "" if parent is None else self.ids[parent],
            )


def lines_of(count: int) -> Iterator[bytes]:
    """Give the lines of a file of one such site, in which parents are called by their numbers."""
    for number in range(count):
        parent = parent_of(number)
        line = {"key": f"{number}", "asset_type": type_of(number), "name": f"{type_of(number).title()} {number}"}
        above = {} if parent is None else {"parent_key": f"{parent}"}
        yield msgspec.json.encode(line | above | {"properties": properties_of(number)}) + b"\n"
