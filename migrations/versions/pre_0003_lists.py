"""Indexes by which lists of sagas are found."""

from alembic import op
from saga import schema

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    schema.upgrade(op.get_bind(), to=3)
