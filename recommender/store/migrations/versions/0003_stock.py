"""Items that are out of stock."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make their table."""
    op.create_table(
        "stock",
        sa.Column("item_id", sa.String(200), primary_key=True),
        sa.Column("time", sa.Float, nullable=False),
    )
