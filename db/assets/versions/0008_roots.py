"""Find what is at the top of the trees, for files of assets in their order"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_assets_roots",
        "assets",
        ["organisation_id", "created_at", "id"],
        postgresql_where=sa.text("parent_id IS NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_assets_roots", "assets")
