"""Class lists that grow, and what each version replayed.

Where some processes are upgraded before others: this migration, then all learn workers, then the
API. `known_classes` null means all of the stream's classes, which is right for every version made
before, as no list grew then. A worker from before would leave it null for a version of an open
list as well, which then seems to know each class that is added later. Only the upgraded API makes
open lists, so the workers are upgraded first.

Going down forgets which lists are open and what their versions know: up again, such lists are
fixed, and their older versions seem to know all of them.
"""

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
