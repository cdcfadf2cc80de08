"""A store with 160 000 assets of an organisation, beside 40 000 of another one, for what looks at plans."""

from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from iotsphere.kernel.identifiers import AssetId, OrganisationId

SIZE, THEIR_SIZE, IN_HALL = 160_000, 40_000, 500
# In this order the planner takes ours to lie scattered, and would rather sort all of them than walk along an index.
THEIRS, OURS = sorted(OrganisationId(uuid4()) for _ in range(2))
SITE, HALL, TANK = (AssetId(UUID(int=number)) for number in (1, 2, 3))

# One in forty is of each maker. The last 20 000 are late, in the site are all but the first 100 000, and 500 of these
# in its hall. Elsewhere is what the other organisation's are, and none of ours.
FLEET = sa.text("""
    INSERT INTO assets (id, organisation_id, asset_type, name, properties, capabilities, created_at, updated_at,
                        version, parent_id)
    SELECT md5(owner || n)::uuid, owner::uuid, CASE WHEN n % 500 = 0 THEN 'robot' ELSE 'pump' END,
           CASE WHEN n % 1000 = 0 THEN 'S' ELSE 'P' END || n,
           jsonb_build_object('serial', n, 'volts', CASE n % 2 WHEN 0 THEN 230 ELSE 400 END, 'maker', 'M' || n % 40,
                              'kw', n * 7919 % 1000 / 10.0)
           || CASE WHEN size < 100000 THEN '{"batch": "elsewhere"}' WHEN n > 140000 THEN '{"batch": "late"}'
                   ELSE '{}' END::jsonb,
           '[]', timestamptz '2026-01-01' + n * interval '1 second', timestamptz '2026-01-01', 1,
           CASE WHEN size < 100000 OR n <= 100000 THEN NULL WHEN n % 120 = 0 THEN CAST(:hall AS uuid)
                ELSE CAST(:site AS uuid) END
    FROM (SELECT CAST(:owner AS text) AS owner, CAST(:size AS integer) AS size) AS whose,
         generate_series(1, size) AS n
    ORDER BY n
""")
PLACE = sa.text("""
    INSERT INTO assets (id, organisation_id, asset_type, name, properties, capabilities, created_at, updated_at,
                        version, parent_id)
    VALUES (CAST(:id AS uuid), CAST(:owner AS uuid), 'place', 'Place', '{}', '[]', timestamptz '2026-01-01',
            timestamptz '2026-01-01', 1, CAST(:above AS uuid))
""")
# Of what is in the tree that is asked for.
PLACES = sa.text("""
    INSERT INTO places (number, path)
    WITH RECURSIVE tree AS (
        SELECT id, number, int8send(number) AS path FROM assets WHERE asset_type = 'place' AND parent_id IS NULL
        UNION ALL
        SELECT child.id, child.number, tree.path || int8send(child.number)
        FROM tree JOIN assets child ON child.parent_id = tree.id
    )
    SELECT number, path FROM tree
""")
# The values of two properties are kept here, of as many as there usually may be.
PATHS = sa.text("""
    INSERT INTO property_paths (organisation_id, name)
    SELECT organisation_id, ARRAY[name] FROM unnest(CAST(:owners AS uuid[])) AS organisation_id,
         unnest(ARRAY['kw', 'maker']) AS name
""")
VALUES = sa.text("""
    INSERT INTO property_values (path, kind, num, txt, asset)
    SELECT path, CASE keys WHEN '{kw}' THEN 0 ELSE 1 END,
           CASE keys WHEN '{kw}' THEN (properties ->> 'kw')::float ELSE 0 END,
           CASE keys WHEN '{kw}' THEN '' ELSE properties ->> 'maker' END, number
    FROM assets JOIN (SELECT organisation_id, name AS keys, path FROM property_paths) AS paths USING (organisation_id)
    WHERE properties ? 'kw' ORDER BY path, 2, 3, 4, number
""")
# To the tank lead as many relationships as there are robots.
RELATIONSHIPS = sa.text("""
    INSERT INTO relationships (organisation_id, asset_id, type, other_id, properties, created_at, updated_at, version)
    SELECT organisation_id, id, 'feeds', CAST(:tank AS uuid), '{}', created_at, created_at, 1
    FROM assets WHERE organisation_id = CAST(:owner AS uuid) AND asset_type = 'robot'
""")
INDEXES = sa.text("""
    SELECT indexname, indexdef FROM pg_indexes
    WHERE tablename = 'assets' AND indexname LIKE 'ix\\_assets\\_organisation\\_id%'
""")


async def fill(connection: AsyncConnection) -> None:
    """Add all, without what the database does to each that is added, and with indexes that are made of the whole."""
    indexes = (await connection.execute(INDEXES)).all()
    for index in indexes:
        await connection.execute(sa.text(f"DROP INDEX {index.indexname}"))
    await connection.execute(sa.text("ALTER TABLE assets DISABLE TRIGGER USER"))
    for place, above in ((SITE, None), (HALL, SITE), (TANK, None)):
        await connection.execute(PLACE, {"id": place, "owner": OURS, "above": above})
    for owner, size in ((OURS, SIZE), (THEIRS, THEIR_SIZE)):
        await connection.execute(FLEET, {"owner": str(owner), "size": size, "site": SITE, "hall": HALL})
    await connection.execute(PLACES)
    await connection.execute(PATHS, {"owners": [OURS, THEIRS]})
    await connection.execute(VALUES)
    await connection.execute(RELATIONSHIPS, {"owner": OURS, "tank": TANK})
    for index in indexes:
        await connection.exec_driver_sql(index.indexdef)
    await connection.execute(sa.text("ALTER TABLE assets ENABLE TRIGGER USER"))
