"""Keep the values of properties in order, and find assets by properties and by the words of their names"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# How many paths of an organisation have their values kept, and how long such a path may be.
MAX_PATHS = 256
MAX_PATH_BYTES = 256

# The scalars of a document, by their path: the keys from the top down. Kinds: 0 a number, 1 a text (the first 64
# characters of it), 2 a boolean, and 3 says once that numbers are in an array on the way. A null is none of these.
# As a double a number too large is infinite, and one too small is zero.
SCALARS = f"""
CREATE FUNCTION property_scalars(properties jsonb)
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
        WHERE jsonb_typeof(members.value) IN ('object', 'array')
    ), scalars AS (
        SELECT members.name, value, is_element, jsonb_typeof(value) AS type FROM members
        WHERE jsonb_typeof(value) IN ('number', 'string', 'boolean')
          AND octet_length(array_to_string(members.name, '.')) <= {MAX_PATH_BYTES}
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
"""  # noqa: S608  # of constants, as below

# What differs is written, whoever changes the asset. While there is room for them, new paths are added: whoever needs
# one holds the organisation's paths until the transaction ends, so that others who need the same one see it then.
KEEP = f"""
CREATE FUNCTION keep_property_values() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    owner uuid := coalesce(NEW.organisation_id, OLD.organisation_id);
    was jsonb := coalesce(OLD.properties, '{{}}');
    is_now jsonb := coalesce(NEW.properties, '{{}}');
BEGIN
    IF TG_OP = 'UPDATE' THEN
        SELECT coalesce(jsonb_object_agg(key, value), '{{}}') INTO was
        FROM jsonb_each(OLD.properties) WHERE value IS DISTINCT FROM NEW.properties -> key;
        SELECT coalesce(jsonb_object_agg(key, value), '{{}}') INTO is_now
        FROM jsonb_each(NEW.properties) WHERE value IS DISTINCT FROM OLD.properties -> key;
    END IF;
    IF was <> '{{}}' THEN
        DELETE FROM property_values AS kept
        USING (SELECT * FROM property_scalars(was) EXCEPT SELECT * FROM property_scalars(is_now)) AS gone,
              property_paths AS paths
        WHERE paths.organisation_id = owner AND paths.name = gone.name
          AND (kept.path, kept.kind, kept.num, kept.txt, kept.asset)
              = (paths.path, gone.kind, gone.num, gone.txt, OLD.number);
    END IF;
    IF is_now = '{{}}' THEN
        RETURN NULL;
    END IF;
    IF EXISTS (
        SELECT name FROM property_scalars(is_now)
        EXCEPT SELECT name FROM property_paths WHERE organisation_id = owner
    ) AND (SELECT count(*) FROM property_paths WHERE organisation_id = owner) < {MAX_PATHS} THEN
        PERFORM pg_advisory_xact_lock(4072037, hashtext(owner::text));
        INSERT INTO property_paths (organisation_id, name)
        SELECT owner, name FROM (
            SELECT name FROM property_scalars(is_now)
            EXCEPT SELECT name FROM property_paths WHERE organisation_id = owner
            ORDER BY name
            LIMIT {MAX_PATHS} - (SELECT count(*) FROM property_paths WHERE organisation_id = owner)
        ) AS missing;
    END IF;
    INSERT INTO property_values (path, kind, num, txt, asset)
    SELECT paths.path, come.kind, come.num, come.txt, NEW.number
    FROM (SELECT * FROM property_scalars(is_now) EXCEPT SELECT * FROM property_scalars(was)) AS come
    JOIN property_paths AS paths ON paths.organisation_id = owner AND paths.name = come.name;
    RETURN NULL;
END $$
"""  # noqa: S608

TRIGGERS = """
CREATE TRIGGER property_values_added AFTER INSERT ON assets
    FOR EACH ROW WHEN (NEW.properties <> '{}') EXECUTE FUNCTION keep_property_values();
CREATE TRIGGER property_values_changed AFTER UPDATE ON assets
    FOR EACH ROW WHEN (OLD.properties <> NEW.properties) EXECUTE FUNCTION keep_property_values();
CREATE TRIGGER property_values_removed AFTER DELETE ON assets
    FOR EACH ROW WHEN (OLD.properties <> '{}') EXECUTE FUNCTION keep_property_values();
"""

# Anew of all that an organisation has, while nobody changes assets: the paths that most of its assets have.
FILL = f"""
CREATE FUNCTION fill_property_values(owner uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    LOCK TABLE assets IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM property_values AS kept USING property_paths AS paths
    WHERE paths.organisation_id = owner AND kept.path = paths.path;
    DELETE FROM property_paths WHERE organisation_id = owner;
    INSERT INTO property_paths (organisation_id, name)
    SELECT owner, scalars.name FROM assets CROSS JOIN LATERAL property_scalars(properties) AS scalars
    WHERE organisation_id = owner GROUP BY scalars.name ORDER BY count(*) DESC, scalars.name LIMIT {MAX_PATHS};
    INSERT INTO property_values (path, kind, num, txt, asset)
    SELECT paths.path, scalars.kind, scalars.num, scalars.txt, assets.number
    FROM assets CROSS JOIN LATERAL property_scalars(properties) AS scalars
    JOIN property_paths AS paths ON paths.organisation_id = owner AND paths.name = scalars.name
    WHERE assets.organisation_id = owner;
END $$
"""  # noqa: S608

# The words of a name, and the beginnings of its words, of 16 characters at the most and in small letters. A word is
# of letters and digits of any script, whatever the locale of the database.
WORDS = "regexp_split_to_table(lower(normalize(name, NFKC) COLLATE pg_c_utf8), '[^[:alnum:]]+') AS word"
NAMES = f"""
CREATE FUNCTION name_words(name text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(DISTINCT left(word, 16)), '{{}}') FROM {WORDS} WHERE word <> ''
$$;
CREATE FUNCTION name_prefixes(name text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(DISTINCT left(word, length)), '{{}}')
    FROM {WORDS} CROSS JOIN generate_series(1, least(length(word), 16)) AS length
$$;
"""  # noqa: S608


def upgrade() -> None:
    # A million assets take minutes, and the role's own limit is for the statements of requests.
    op.execute("SET LOCAL statement_timeout = 0")
    op.execute("CREATE EXTENSION IF NOT EXISTS btree_gin")
    op.drop_index("ix_assets_properties", "assets")
    # Without a list of what waits: whoever searches would go through it.
    op.create_index(
        "ix_assets_organisation_id_properties",
        "assets",
        ["organisation_id", "properties"],
        postgresql_using="gin",
        postgresql_ops={"properties": "jsonb_path_ops"},
        postgresql_with={"fastupdate": "off"},
    )
    # In the order of the bytes, as the double and the cursors have it.
    op.alter_column("assets", "name", type_=sa.Text(collation="C"))
    op.create_index("ix_assets_organisation_id_name_id", "assets", ["organisation_id", "name", "id"])
    op.execute(NAMES)
    op.create_index(
        "ix_assets_organisation_id_name_prefixes",
        "assets",
        ["organisation_id", sa.text("name_prefixes(name)")],
        postgresql_using="gin",
        postgresql_with={"fastupdate": "off"},
    )
    op.create_table(
        "property_paths",
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("name", ARRAY(sa.Text(collation="C")), nullable=False),
        sa.Column("path", sa.Integer, sa.Identity(always=True), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "name", name="pk_property_paths"),
    )
    op.create_table(
        "property_values",
        sa.Column("path", sa.Integer, nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("num", sa.Double, nullable=False),
        sa.Column("asset", sa.BigInteger, nullable=False),
        sa.Column("txt", sa.Text(collation="C"), nullable=False),
    )
    op.execute(SCALARS)
    op.execute(FILL)
    op.execute(
        "SELECT fill_property_values(organisation_id) FROM (SELECT DISTINCT organisation_id FROM assets) AS those"
    )
    op.create_primary_key("pk_property_values", "property_values", ["path", "kind", "num", "txt", "asset"])
    op.execute(KEEP)
    op.execute(TRIGGERS)
    op.execute("ANALYZE assets, property_paths, property_values")


def downgrade() -> None:
    for event in ("added", "changed", "removed"):
        op.execute(f"DROP TRIGGER property_values_{event} ON assets")
    op.drop_table("property_values")
    op.drop_table("property_paths")
    op.drop_index("ix_assets_organisation_id_name_prefixes", "assets")
    op.drop_index("ix_assets_organisation_id_name_id", "assets")
    op.drop_index("ix_assets_organisation_id_properties", "assets")
    op.execute(
        "DROP FUNCTION fill_property_values, keep_property_values, property_scalars, name_prefixes, name_words"
    )
    op.alter_column("assets", "name", type_=sa.Text(collation="default"))
    op.create_index(
        "ix_assets_properties",
        "assets",
        ["properties"],
        postgresql_using="gin",
        postgresql_ops={"properties": "jsonb_path_ops"},
    )
    op.execute("DROP EXTENSION btree_gin")
