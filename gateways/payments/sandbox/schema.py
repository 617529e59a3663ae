"""The tables of the provider's books."""

SCHEMA = """
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
