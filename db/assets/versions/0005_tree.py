"""Keep the trees of assets, and relationships between them; what is there becomes a root"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Whoever adds an asset, also a process that knows nothing of places yet. A parent has its place already: one that is
# added by the same statement has none, and what would be below it is refused.
PLACES_OF_ADDED = """
CREATE FUNCTION add_places() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO places (number, path)
    SELECT added.number, CASE WHEN added.parent_id IS NULL THEN int8send(added.number) ELSE (
        SELECT above.path || int8send(added.number)
        FROM assets parent JOIN places above ON above.number = parent.number WHERE parent.id = added.parent_id
    ) END
    FROM added;
    RETURN NULL;
END $$;

CREATE TRIGGER asset_added AFTER INSERT ON assets REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION add_places();
"""


def upgrade() -> None:
    # Rewrites the table once.
    op.execute("ALTER TABLE assets ADD number bigint GENERATED ALWAYS AS IDENTITY, ADD parent_id uuid")
    op.create_unique_constraint("uq_assets_number", "assets", ["number"])
    op.create_index(
        "ix_assets_parent_id_number",
        "assets",
        ["parent_id", "number"],
        postgresql_where=sa.text("parent_id IS NOT NULL"),
    )
    op.create_foreign_key("fk_assets_parent_id", "assets", "assets", ["parent_id"], ["id"])
    op.create_table(
        "places",
        sa.Column("number", sa.BigInteger, nullable=False),
        # The numbers of the ancestors from the root down, then its own: eight bytes each, the most significant first.
        sa.Column("path", sa.LargeBinary, nullable=False),
    )
    op.execute("INSERT INTO places (number, path) SELECT number, int8send(number) FROM assets")
    op.create_primary_key("pk_places", "places", ["number"])
    op.create_foreign_key("fk_places_number", "places", "assets", ["number"], ["number"], ondelete="CASCADE")
    op.create_check_constraint("ck_places_path", "places", "length(path) BETWEEN 8 AND 512")
    op.create_index("uq_places_path", "places", ["path"], unique=True, postgresql_include=["number"])
    op.execute(PLACES_OF_ADDED)
    op.create_table(
        "relationships",
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("asset_id", sa.Uuid, nullable=False),
        # In the order of the bytes, as the double and the cursors have it.
        sa.Column("type", sa.Text(collation="C"), nullable=False),
        sa.Column("other_id", sa.Uuid, nullable=False),
        sa.Column("properties", JSONB, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("asset_id", "type", "other_id", name="pk_relationships"),
        sa.ForeignKeyConstraint(["asset_id"], ["assets.id"], name="fk_relationships_asset_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["other_id"], ["assets.id"], name="fk_relationships_other_id", ondelete="CASCADE"),
        sa.CheckConstraint("asset_id <> other_id", name="ck_relationships_other_id"),
        sa.CheckConstraint("jsonb_typeof(properties) = 'object'", name="ck_relationships_properties"),
    )
    op.create_index("ix_relationships_other_id_type_asset_id", "relationships", ["other_id", "type", "asset_id"])


def downgrade() -> None:
    op.execute("DROP TRIGGER asset_added ON assets")
    op.execute("DROP FUNCTION add_places")
    op.drop_table("relationships")
    op.drop_table("places")
    op.execute("ALTER TABLE assets DROP parent_id, DROP number")
