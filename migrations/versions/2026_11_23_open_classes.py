"""Class lists that grow, and what each version replayed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # a migration that cannot have its lock at once must not queue the whole service behind it
    op.execute("SET LOCAL lock_timeout = '5s'")

    op.add_column(
        "streams",
        sa.Column("open_classes", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column("versions", sa.Column("known_classes", sa.Integer(), nullable=True))
    op.add_column(
        "versions",
        sa.Column(
            "replayed", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")

    op.drop_column("versions", "replayed")
    op.drop_column("versions", "known_classes")
    op.drop_column("streams", "open_classes")
