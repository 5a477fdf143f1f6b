"""The few chunks that deleted something are found without a look at the others."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "chunk_deleted",
        "chunk",
        ["acceptance"],
        unique=False,
        postgresql_where=sa.text("deleted > 0"),
    )


def downgrade() -> None:
    op.drop_index("chunk_deleted", "chunk")
