"""The applications that were uploaded."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE applications (
            id           text PRIMARY KEY,
            package_name text NOT NULL,
            version_code bigint NOT NULL,
            version_name text NOT NULL,
            name         text NOT NULL,
            description  text NOT NULL,
            tags         jsonb NOT NULL,
            min_sdk      integer NOT NULL,
            target_sdk   integer NOT NULL,
            size_bytes   bigint NOT NULL,
            sha256       text NOT NULL,
            object_key   text NOT NULL UNIQUE,
            status       text NOT NULL,
            is_latest    boolean NOT NULL,
            created_at   timestamptz NOT NULL DEFAULT now(),
            available_at timestamptz,
            CONSTRAINT applications_status_is_known CHECK (status IN (
                'uploading', 'pending_review', 'approved', 'rejected', 'available',
                'unavailable', 'deleted')),
            CONSTRAINT applications_version_code_is_positive CHECK (version_code > 0),
            CONSTRAINT applications_size_is_positive CHECK (size_bytes > 0),
            CONSTRAINT applications_sha256_is_one CHECK (sha256 ~ '^[0-9a-f]{64}$'),
            CONSTRAINT applications_latest_is_available CHECK (
                NOT is_latest OR status = 'available'),
            CONSTRAINT applications_version_is_there_once UNIQUE (package_name, version_code)
        )""")
    op.execute(
        "CREATE UNIQUE INDEX applications_latest ON applications (package_name) WHERE is_latest"
    )
