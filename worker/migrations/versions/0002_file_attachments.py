"""The file attachments of items."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Autogenerate does not see sequences.
    op.execute("CREATE SEQUENCE file_attachment_id")
    op.create_table(
        "file_attachment",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key", sa.BigInteger(), nullable=False),
        sa.Column("table_name", sa.String(length=255), nullable=False),
        sa.Column("item_name", sa.String(length=255), nullable=False),
        sa.Column("title", sa.String(length=255), nullable=False),
        sa.Column("file_name", sa.String(length=255), nullable=False),
        sa.Column("blob_id", sa.BigInteger(), nullable=False),
        sa.Column("access_type", sa.Text(), nullable=False),
        sa.Column("show_as_image", sa.Boolean(), nullable=False),
        sa.Column("modified_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("acceptance", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.CheckConstraint("id > 0 AND key < 0", name=op.f("file_attachment_keys_check")),
        sa.CheckConstraint(
            "table_name <> '' AND item_name <> '' AND title <> '' AND file_name <> ''",
            name=op.f("file_attachment_names_check"),
        ),
        sa.CheckConstraint(
            "access_type IN ('ATTACHACCESS-DEFAULT', 'ATTACHACCESS-RESTRICTED', 'ATTACHACCESS-UNRESTRICTED')",
            name=op.f("file_attachment_access_type_check"),
        ),
        sa.ForeignKeyConstraint(["blob_id"], ["blob.id"], name=op.f("file_attachment_blob_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("file_attachment_pkey")),
        postgresql_with={"fillfactor": "90"},
    )
    op.create_index("file_attachment_blob_id_idx", "file_attachment", ["blob_id"], unique=False)
    op.create_index("file_attachment_key_idx", "file_attachment", ["key"], unique=False)


def downgrade() -> None:
    op.drop_table("file_attachment")
    op.execute("DROP SEQUENCE file_attachment_id")
