"""Go no further below a key that is too long for the values below it to be kept"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

MAX_PATH_BYTES = 256

# As before, but that it can end early: the keys above a value are carried along with it, and of thousands of values
# below one key of 200 KiB that was a gigabyte.
SCALARS = """
CREATE OR REPLACE FUNCTION property_scalars(properties jsonb)
RETURNS TABLE (name text[], kind smallint, num double precision, txt text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 20 AS $$
    WITH RECURSIVE members (name, value, is_element) AS (
        SELECT ARRAY[key], value, false FROM jsonb_each(properties)
        UNION ALL
        SELECT CASE WHEN inside.key IS NULL THEN members.name ELSE members.name || inside.key END, inside.value,
               members.is_element OR inside.key IS NULL
        FROM members CROSS JOIN LATERAL (
            SELECT key, value FROM jsonb_each(CASE jsonb_typeof(members.value) WHEN 'object' THEN members.value END)
            UNION ALL
            SELECT NULL, value
            FROM jsonb_array_elements(CASE jsonb_typeof(members.value) WHEN 'array' THEN members.value END)
        ) AS inside
        WHERE jsonb_typeof(members.value) IN ('object', 'array'){further}
    ), scalars AS (
        SELECT members.name, value, is_element, jsonb_typeof(value) AS type FROM members
        WHERE jsonb_typeof(value) IN ('number', 'string', 'boolean')
          AND octet_length(array_to_string(members.name, '.')) <= {bytes}
    )
    SELECT scalars.name, CASE type WHEN 'number' THEN 0 WHEN 'string' THEN 1 ELSE 2 END::smallint,
           CASE WHEN type <> 'number' OR abs(value::numeric) < 5e-324 THEN 0
                WHEN abs(value::numeric) <= 1.7976931348623157e308 THEN value::double precision
                ELSE sign(value::numeric) * double precision 'Infinity' END,
           CASE type WHEN 'number' THEN '' ELSE left(value #>> '{{}}', 64) END
    FROM scalars WHERE NOT is_element
    UNION ALL
    SELECT DISTINCT scalars.name, 3::smallint, double precision '0', ''
    FROM scalars WHERE is_element AND type = 'number'
$$
"""
FURTHER = f"""
          AND octet_length(array_to_string(members.name, '.')) <= {MAX_PATH_BYTES}"""


def upgrade() -> None:
    op.execute(SCALARS.format(further=FURTHER, bytes=MAX_PATH_BYTES))


def downgrade() -> None:
    op.execute(SCALARS.format(further="", bytes=MAX_PATH_BYTES))
