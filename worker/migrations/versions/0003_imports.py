"""Imports: batches that grow, and the loaders that make some of them grow."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INSTANT = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.create_table(
        "import",
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("on_conflict", sa.Text(), nullable=False),
        sa.Column("closed_at", INSTANT, nullable=True),
        sa.Column("paused_at", INSTANT, nullable=True),
        sa.Column("rows_per_second", sa.Integer(), nullable=True),
        sa.Column("paced_until", INSTANT, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("on_conflict IN ('replace', 'skip', 'newer')", name=op.f("import_on_conflict_check")),
        sa.CheckConstraint("rows_per_second > 0", name=op.f("import_rows_per_second_check")),
        sa.CheckConstraint("error IS NULL OR closed_at IS NOT NULL", name=op.f("import_error_check")),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name=op.f("import_batch_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("import_pkey")),
    )
    op.create_index("import_name_idx", "import", ["name"], unique=False)
    op.create_table(
        "loader",
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("options", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("byte_offset", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("line", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("due_at", INSTANT, nullable=True),
        sa.Column("rings", sa.SmallInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("byte_offset >= 0 AND line >= 0", name=op.f("loader_cursor_check")),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["import.batch_id"], name=op.f("loader_batch_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("loader_pkey")),
    )
    op.create_index("loader_due", "loader", ["due_at"], unique=False, postgresql_where=sa.text("due_at IS NOT NULL"))


def downgrade() -> None:
    op.drop_table("loader")
    op.drop_table("import")
