"""What serving leaves behind, and what versions can be made again from.

Additive: workers and replicas from before go on beside it. Versions that they make have no
configuration, no mask and no scores, so that they cannot be run again; everything else about them
is as of the others.

Going down forgets predictions, feedback that joined no chunk yet, reruns and exports, and that
aliases were deleted; the chunks that came of feedback stay.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# what names a blob: the collector of garbage asks each of them of every blob
_NAMING = (
    ("packs", "digest"),
    ("artifacts", "digest"),
    ("reruns", "resume_digest"),
    ("chunks", "digest"),
    ("chunks", "file_digest"),
    ("cycles", "resume_digest"),
    ("versions", "digest"),
    ("versions", "sidecar_digest"),
    ("versions", "mask_digest"),
    ("versions", "scores_digest"),
)


def upgrade() -> None:
    # a migration that cannot have its lock at once must not queue the whole service behind it
    op.execute("SET LOCAL lock_timeout = '5s'")

    op.create_table(
        "packs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("predictions", sa.Integer(), nullable=False),
        sa.Column(
            "made_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["stream_id"], ["streams.id"], name=op.f("fk_packs_stream_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_packs")),
    )
    op.create_index("ix_packs_stream_id_made_at", "packs", ["stream_id", "made_at"], unique=False)
    op.create_table(
        "artifacts",
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "queued",
                "ready",
                "failed",
                name="artifact_state",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("deaths", sa.Integer(), server_default="0", nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column(
            "report", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column(
            "requested_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["stream_id", "version"],
            ["versions.stream_id", "versions.version"],
            name=op.f("fk_artifacts_stream_id_version"),
        ),
        sa.ForeignKeyConstraint(["stream_id"], ["streams.id"], name=op.f("fk_artifacts_stream_id")),
        sa.PrimaryKeyConstraint("stream_id", "version", "kind", name=op.f("pk_artifacts")),
    )
    op.create_table(
        "feedback",
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("prediction_id", sa.Text(), nullable=False),
        sa.Column("pack_id", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("chunk_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["chunk_id"], ["chunks.id"], name=op.f("fk_feedback_chunk_id")),
        sa.ForeignKeyConstraint(
            ["pack_id"], ["packs.id"], name=op.f("fk_feedback_pack_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["stream_id"], ["streams.id"], name=op.f("fk_feedback_stream_id")),
        sa.PrimaryKeyConstraint("stream_id", "prediction_id", name=op.f("pk_feedback")),
    )
    op.create_index(
        "ix_feedback_open",
        "feedback",
        ["stream_id", "at"],
        unique=False,
        postgresql_where=sa.text("chunk_id IS NULL AND pack_id IS NOT NULL"),
    )
    op.create_index(
        "ix_feedback_stream_id_version", "feedback", ["stream_id", "version"], unique=False
    )
    op.create_index(
        "ix_feedback_pack_id",
        "feedback",
        ["pack_id"],
        unique=False,
        postgresql_where=sa.text("pack_id IS NOT NULL"),
    )
    op.create_table(
        "reruns",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "queued",
                "running",
                "succeeded",
                "failed",
                "cancelled",
                name="rerun_state",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column(
            "progress", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("deaths", sa.Integer(), server_default="0", nullable=False),
        sa.Column("exceptions", sa.Integer(), server_default="0", nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resume_digest", sa.Text(), nullable=True),
        sa.Column(
            "result", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["stream_id", "version"],
            ["versions.stream_id", "versions.version"],
            name=op.f("fk_reruns_stream_id_version"),
        ),
        sa.ForeignKeyConstraint(["stream_id"], ["streams.id"], name=op.f("fk_reruns_stream_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reruns")),
        sa.UniqueConstraint("number", name=op.f("uq_reruns_number")),
    )
    op.create_index("ix_reruns_state", "reruns", ["state"], unique=False)
    op.create_index("ix_reruns_stream_id_number", "reruns", ["stream_id", "number"], unique=False)
    op.create_index(
        "uq_reruns_counterfactual",
        "reruns",
        ["stream_id", "version", "method"],
        unique=True,
        postgresql_where=sa.text("reason = 'counterfactual'"),
    )
    op.alter_column("alias_moves", "to_version", existing_type=sa.Integer(), nullable=True)
    op.add_column(
        "streams", sa.Column("revision", sa.Integer(), server_default="1", nullable=False)
    )
    op.add_column(
        "cycles",
        sa.Column(
            "settings", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
    )
    for column, kind, rule in (
        ("accuracy", sa.Float(), "(metrics ->> 'accuracy')::double precision"),
        ("agreement", postgresql.JSONB(none_as_null=True), "metrics -> 'agreement'"),
        ("judged", sa.Integer(), "(metrics ->> 'images')::integer"),
        ("correct", sa.Integer(), "(metrics ->> 'correct')::integer"),
        ("outcome", sa.Text(), "verdict ->> 'outcome'"),
    ):
        op.add_column("versions", sa.Column(column, kind, sa.Computed(rule, persisted=True)))
    op.add_column("versions", sa.Column("mask_digest", sa.Text(), nullable=True))
    op.add_column("versions", sa.Column("scores_digest", sa.Text(), nullable=True))
    op.add_column(
        "versions",
        sa.Column(
            "config", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
    )
    for table, column in _NAMING:
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column], unique=False)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")

    for table, column in _NAMING:
        op.drop_index(op.f(f"ix_{table}_{column}"), table_name=table)
    op.drop_column("versions", "config")
    op.drop_column("versions", "scores_digest")
    op.drop_column("versions", "mask_digest")
    op.drop_column("versions", "outcome")
    op.drop_column("versions", "correct")
    op.drop_column("versions", "judged")
    op.drop_column("versions", "agreement")
    op.drop_column("versions", "accuracy")
    op.drop_column("cycles", "settings")
    op.drop_column("streams", "revision")
    op.execute("DELETE FROM alias_moves WHERE to_version IS NULL")
    op.alter_column("alias_moves", "to_version", existing_type=sa.Integer(), nullable=False)
    op.drop_table("reruns")
    op.drop_table("feedback")
    op.drop_table("artifacts")
    op.drop_table("packs")
