"""Who may do what over HTTP: keys, of which only digests are kept, and the audit."""

SQL = """
CREATE TABLE saga_key (
    key_id     text CONSTRAINT saga_key_pkey PRIMARY KEY,
    name       text NOT NULL,
    role       text NOT NULL,
    digest     bytea NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    revoked_by text,
    CONSTRAINT saga_key_digest_key UNIQUE (digest),
    CONSTRAINT saga_key_role_is_known CHECK (role IN ('producer', 'viewer', 'operator', 'admin')),
    CONSTRAINT saga_key_revocation_is_whole CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
);

CREATE TABLE saga_audit (
    id      bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT saga_audit_pkey PRIMARY KEY,
    at      timestamptz NOT NULL,
    actor   text,
    role    text,
    action  text NOT NULL,
    target  text,
    saga_id uuid,
    outcome text NOT NULL,
    why     text,
    CONSTRAINT saga_audit_outcome_is_known CHECK (outcome IN ('done', 'refused'))
);
CREATE INDEX saga_audit_by_age ON saga_audit (at);
"""
