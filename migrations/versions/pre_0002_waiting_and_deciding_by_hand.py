"""Signals, pauses, and where a FAILED saga came from."""

from alembic import op
from saga import schema

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    schema.upgrade(op.get_bind(), to=2)
