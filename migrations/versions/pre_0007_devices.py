"""Devices, their ports, and their users' quotas."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE device_quotas (
            user_id           text PRIMARY KEY,
            status            text NOT NULL,
            expires_at        timestamptz,
            devices           integer NOT NULL,
            device_cpu        integer NOT NULL,
            device_memory_mb  integer NOT NULL,
            device_storage_mb integer NOT NULL,
            total_cpu         integer NOT NULL,
            total_memory_mb   integer NOT NULL,
            total_storage_mb  integer NOT NULL,
            CONSTRAINT device_quotas_status_is_known CHECK (status IN ('active', 'suspended')),
            CONSTRAINT device_quotas_devices_are_not_negative CHECK (devices >= 0)
        )""")
    op.execute("""
        CREATE TABLE quota_shares (
            device_id  text PRIMARY KEY,
            user_id    text NOT NULL REFERENCES device_quotas (user_id),
            cpu        integer NOT NULL,
            memory_mb  integer NOT NULL,
            storage_mb integer NOT NULL,
            status     text NOT NULL,
            since      timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT quota_shares_status_is_known CHECK (status IN ('reserved', 'used')),
            CONSTRAINT quota_shares_are_positive CHECK (
                cpu > 0 AND memory_mb > 0 AND storage_mb > 0)
        )""")
    op.execute("CREATE INDEX quota_shares_of_a_user ON quota_shares (user_id)")
    op.execute("""
        CREATE TABLE device_ports (
            port       integer PRIMARY KEY,
            device_id  text UNIQUE,
            since      timestamptz NOT NULL,
            is_settled boolean NOT NULL DEFAULT false
        )""")
    op.execute("""
        CREATE TABLE devices (
            id              text PRIMARY KEY,
            user_id         text NOT NULL,
            name            text NOT NULL,
            cpu             integer NOT NULL,
            memory_mb       integer NOT NULL,
            storage_mb      integer NOT NULL,
            width           integer NOT NULL,
            height          integer NOT NULL,
            dpi             integer NOT NULL,
            android_version integer NOT NULL,
            status          text NOT NULL,
            container_name  text NOT NULL UNIQUE,
            container_id    text NOT NULL,
            adb_address     text,
            adb_port        integer UNIQUE,
            created_at      timestamptz NOT NULL DEFAULT now(),
            heartbeat_at    timestamptz,
            CONSTRAINT devices_status_is_known CHECK (status IN (
                'creating', 'idle', 'allocated', 'running', 'stopped', 'paused', 'error',
                'deleted')),
            CONSTRAINT devices_resources_are_positive CHECK (
                cpu > 0 AND memory_mb > 0 AND storage_mb > 0)
        )""")
    op.execute("CREATE INDEX ix_devices_user_id ON devices (user_id)")
