"""The tables of the provider's books."""

import sqlite3

_TABLES = """
CREATE TABLE IF NOT EXISTS payment (
    payment_no   TEXT PRIMARY KEY,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    method       TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS refund (
    refund_no         TEXT PRIMARY KEY,
    payment_no        TEXT NOT NULL REFERENCES payment,
    amount_minor      INTEGER NOT NULL CHECK (amount_minor > 0),
    reason            TEXT NOT NULL,
    notify_url        TEXT,
    status            TEXT NOT NULL
        CHECK (status IN ('SUCCESS', 'PROCESSING', 'CLOSED', 'ABNORMAL')),
    due_at            REAL,
    callback_at       REAL,
    callback_attempts INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS refund_of_payment ON refund (payment_no);
CREATE INDEX IF NOT EXISTS refund_due ON refund (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS callback_due ON refund (callback_at) WHERE callback_at IS NOT NULL;
-- Refunds whose caller was cut off and which are done later.
CREATE TABLE IF NOT EXISTS late_refund (
    id           INTEGER PRIMARY KEY,
    refund_no    TEXT NOT NULL,
    payment_no   TEXT NOT NULL,
    amount_minor INTEGER NOT NULL,
    reason       TEXT NOT NULL,
    due_at       REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS late_refund_due ON late_refund (due_at);
-- Every refund request that came, also those that did nothing.
CREATE TABLE IF NOT EXISTS request (
    refund_no  TEXT PRIMARY KEY,
    payment_no TEXT NOT NULL,
    requests   INTEGER NOT NULL
) STRICT;
"""

_WIRES = """
ALTER TABLE payment ADD COLUMN notify_url TEXT;
ALTER TABLE refund ADD COLUMN created_at REAL NOT NULL DEFAULT 0;
ALTER TABLE refund ADD COLUMN done_at REAL;
ALTER TABLE refund ADD COLUMN event_id TEXT;
ALTER TABLE late_refund ADD COLUMN method TEXT NOT NULL DEFAULT 'wechat';
ALTER TABLE late_refund ADD COLUMN payment_minor INTEGER;
ALTER TABLE late_refund ADD COLUMN notify_url TEXT;
"""

_STEPS = (_TABLES, _WIRES)


def upgrade(sql: sqlite3.Connection) -> None:
    """Bring the books of any earlier release to these tables; a second call does nothing."""
    [version] = sql.execute("PRAGMA user_version").fetchone()
    for number, step in enumerate(_STEPS[version:], start=version + 1):
        # Both or none: a step that is done twice would fail.
        sql.executescript(f"BEGIN; {step} PRAGMA user_version = {number}; COMMIT;")
