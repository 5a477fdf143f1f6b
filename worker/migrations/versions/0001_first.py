"""The ledger, case attachments and blobs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Autogenerate does not see sequences.
    op.execute("CREATE SEQUENCE acceptance")
    op.execute("CREATE SEQUENCE case_attachment_key AS integer MINVALUE 1 START 1 CYCLE")
    op.create_table(
        "batch",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column(
            "accepted_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("cancel_requested_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_sha256", sa.LargeBinary(), nullable=True),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "(idempotency_key IS NULL) = (request_sha256 IS NULL)",
            name=op.f("batch_idempotency_check"),
        ),
        sa.CheckConstraint("total >= 0", name=op.f("batch_total_check")),
        sa.ForeignKeyConstraint(["parent_id"], ["batch.id"], name=op.f("batch_parent_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("batch_pkey")),
    )
    op.create_index("batch_accepted_at_idx", "batch", ["accepted_at"], unique=False)
    op.create_index("batch_idempotency_key", "batch", ["caller", "idempotency_key"], unique=True)
    op.create_index(
        "batch_parent_id_idx",
        "batch",
        ["parent_id"],
        unique=False,
        postgresql_where=sa.text("parent_id IS NOT NULL"),
    )
    op.create_index(
        "batch_unfinished",
        "batch",
        ["id"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "blob",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column(
            "stored_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("octet_length(sha256) = 32 AND size >= 0", name=op.f("blob_content_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("blob_pkey")),
        sa.UniqueConstraint("object_key", name=op.f("blob_object_key_key")),
    )
    op.create_index("blob_sha256_size_key", "blob", ["sha256", "size"], unique=True)
    op.create_table(
        "garbage",
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("due_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("object_key", name=op.f("garbage_pkey")),
    )
    op.create_index("garbage_due_at_idx", "garbage", ["due_at"], unique=False)
    op.create_table(
        "case_attachment",
        sa.Column("case_attachment_key", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("case_key", sa.Integer(), nullable=False),
        sa.Column("attachment_file", sa.String(length=255), nullable=True),
        sa.Column("attachment_path", sa.String(length=500), nullable=True),
        sa.Column("case_attachment_type", sa.String(length=256), nullable=True),
        sa.Column("comment", sa.String(length=2048), nullable=True),
        sa.Column("entry_user", sa.String(length=20), nullable=True),
        sa.Column("entry_date", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("update_user", sa.String(length=20), nullable=True),
        sa.Column("update_date", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("blob_id", sa.BigInteger(), nullable=True),
        sa.Column("acceptance", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "case_attachment_key > 0 AND case_key >= 0",
            name=op.f("case_attachment_keys_check"),
        ),
        sa.ForeignKeyConstraint(["blob_id"], ["blob.id"], name=op.f("case_attachment_blob_id_fkey")),
        sa.PrimaryKeyConstraint("case_attachment_key", name=op.f("case_attachment_pkey")),
        postgresql_with={"fillfactor": "90"},
    )
    op.create_index(
        "case_attachment_blob_id_idx",
        "case_attachment",
        ["blob_id"],
        unique=False,
        postgresql_where=sa.text("blob_id IS NOT NULL"),
    )
    op.create_table(
        "chunk",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.Column("acceptance", sa.BigInteger(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("due_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("rings", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("deaths", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("server_started_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("suspect_batch_id", sa.Uuid(), nullable=True),
        sa.Column("suspect_position", sa.Integer(), nullable=True),
        sa.Column(
            "history",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.Column("created", sa.Integer(), server_default="0", nullable=False),
        sa.Column("updated", sa.Integer(), server_default="0", nullable=False),
        sa.Column("deleted", sa.Integer(), server_default="0", nullable=False),
        sa.Column("skipped", sa.Integer(), server_default="0", nullable=False),
        sa.Column("invalid", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("cancelled", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint("(state = 'done') = (due_at IS NULL)", name=op.f("chunk_due_check")),
        sa.CheckConstraint(
            "state <> 'done' OR created + updated + deleted + skipped + invalid + failed + cancelled = last - first + 1",
            name=op.f("chunk_counts_check"),
        ),
        sa.CheckConstraint(
            "state <> 'taken' OR (worker IS NOT NULL AND started_at IS NOT NULL)",
            name=op.f("chunk_taken_check"),
        ),
        sa.CheckConstraint("state IN ('open', 'taken', 'done')", name=op.f("chunk_state_check")),
        sa.CheckConstraint(
            "(suspect_batch_id IS NULL) = (suspect_position IS NULL)",
            name=op.f("chunk_suspect_check"),
        ),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["batch.id"],
            name=op.f("chunk_batch_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("chunk_pkey")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index("chunk_batch_id_first_idx", "chunk", ["batch_id", "first"], unique=True)
    op.create_index(
        "chunk_due",
        "chunk",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index(
        "chunk_unfinished",
        "chunk",
        ["batch_id"],
        unique=False,
        postgresql_where=sa.text("state <> 'done'"),
    )
    op.create_table(
        "upload",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("used_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("upload_pkey")),
    )
    op.create_index("upload_expires_at_idx", "upload", ["expires_at"], unique=False)
    op.create_table(
        "item",
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("acceptance", sa.BigInteger(), nullable=False),
        sa.Column(
            "accepted_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.BigInteger(), nullable=True),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.Column("blob_id", sa.BigInteger(), nullable=True),
        sa.Column("deaths", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("record_key", sa.BigInteger(), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("retry", sa.Text(), nullable=True),
        sa.Column(
            "errors",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            nullable=True,
        ),
        sa.CheckConstraint(
            "outcome IN ('created', 'updated', 'deleted', 'skipped', 'invalid', 'failed', 'cancelled')",
            name=op.f("item_outcome_check"),
        ),
        sa.CheckConstraint("retry IN ('never', 'as-is', 'after-fix')", name=op.f("item_retry_check")),
        sa.CheckConstraint(
            "(outcome IS NULL) = (status IS NULL) AND (outcome IS NULL) = (body IS NULL)",
            name=op.f("item_verdict_check"),
        ),
        sa.CheckConstraint("content IS NULL OR blob_id IS NULL", name=op.f("item_content_check")),
        sa.ForeignKeyConstraint(["blob_id"], ["blob.id"], name=op.f("item_blob_id_fkey")),
        sa.PrimaryKeyConstraint("batch_id", "position", name=op.f("item_pkey")),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index(
        "item_blob_id_idx",
        "item",
        ["blob_id"],
        unique=False,
        postgresql_where=sa.text("blob_id IS NOT NULL"),
    )
    op.create_index(
        "item_open_key",
        "item",
        ["key", "acceptance", "position"],
        unique=False,
        postgresql_where=sa.text("outcome IS NULL AND key IS NOT NULL"),
    )
    # Contents are mostly compressed already, and their length is asked for without reading them.
    op.execute("ALTER TABLE item ALTER COLUMN content SET STORAGE EXTERNAL")


def downgrade() -> None:
    for table in ("item", "upload", "chunk", "case_attachment", "garbage", "blob", "batch"):
        op.drop_table(table)
    op.execute("DROP SEQUENCE case_attachment_key")
    op.execute("DROP SEQUENCE acceptance")
