"""Keys of the HTTP API, and the audit."""

from alembic import op
from saga import schema

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    schema.upgrade(op.get_bind(), to=4)
