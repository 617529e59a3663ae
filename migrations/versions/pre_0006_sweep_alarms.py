"""What sweeps called a person for."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE sweep_alarms (
            kind       text NOT NULL,
            name       text NOT NULL,
            alarmed_at timestamptz NOT NULL,
            seen_at    timestamptz NOT NULL,
            PRIMARY KEY (kind, name)
        )""")
