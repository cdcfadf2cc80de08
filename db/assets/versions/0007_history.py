"""Keep every change of an asset, and what the asset was before it"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Whoever changes an asset, also a process that knows nothing of a history yet: what it was is kept whole where no
# patch tells it, and of every 20th version. What was there before is found when it is first changed.
KEEP_WHAT_WAS = """
CREATE FUNCTION keep_what_was() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO asset_changes (asset, version, changed_at, actor, whole)
    SELECT OLD.number, OLD.version, OLD.updated_at, 'unknown', jsonb_build_object(
        'asset_type', OLD.asset_type, 'name', OLD.name,
        'properties', OLD.properties, 'capabilities', OLD.capabilities
    ) || CASE WHEN OLD.parent_id IS NULL THEN '{}' ELSE jsonb_build_object('parent_id', OLD.parent_id) END
    WHERE NOT EXISTS (
        SELECT FROM asset_changes told
        WHERE told.asset = OLD.number AND told.version = OLD.version
          AND told.patch IS NOT NULL AND OLD.version % 20 <> 1
    )
    ON CONFLICT (asset, version) DO UPDATE SET whole = excluded.whole;
    RETURN NULL;
END $$;

CREATE TRIGGER asset_changed AFTER UPDATE ON assets
    FOR EACH ROW WHEN (OLD.version IS DISTINCT FROM NEW.version) EXECUTE FUNCTION keep_what_was();
"""


def upgrade() -> None:
    op.create_table(
        "asset_changes",
        sa.Column("asset", sa.BigInteger, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        # What makes this version of the one before: RFC 7396.
        sa.Column("patch", JSONB),
        # All that the asset was at this version.
        sa.Column("whole", JSONB),
        sa.PrimaryKeyConstraint("asset", "version", name="pk_asset_changes"),
        sa.ForeignKeyConstraint(["asset"], ["assets.number"], name="fk_asset_changes_asset", ondelete="CASCADE"),
    )
    op.create_index("ix_asset_changes_asset_changed_at_version", "asset_changes", ["asset", "changed_at", "version"])
    op.execute(KEEP_WHAT_WAS)


def downgrade() -> None:
    op.execute("DROP TRIGGER asset_changed ON assets")
    op.execute("DROP FUNCTION keep_what_was")
    op.drop_table("asset_changes")
