"""A store that is away for weeks makes more attempts than a smallint counts."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("chunk", "attempts", type_=sa.Integer())


def downgrade() -> None:
    op.alter_column("chunk", "attempts", type_=sa.SmallInteger())
