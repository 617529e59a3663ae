"""What came of asking providers about their refunds."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE refund_checks (
            refund_no    text PRIMARY KEY,
            saga_id      uuid NOT NULL,
            saga_status  text NOT NULL,
            is_over      boolean NOT NULL,
            payment_id   text NOT NULL REFERENCES payments (id) ON DELETE CASCADE,
            booked_minor bigint,
            their_status text,
            their_minor  bigint,
            difference   text,
            asked_at     timestamptz NOT NULL,
            checked_at   timestamptz,
            found_at     timestamptz,
            CONSTRAINT refund_checks_difference_is_known CHECK (difference IN (
                'not_booked', 'refunded_twice', 'not_refunded', 'not_final', 'may_still_happen',
                'other_amount', 'number_reused', 'over_the_payment', 'payment_differs')),
            CONSTRAINT refund_checks_difference_has_a_time CHECK (
                (difference IS NULL) = (found_at IS NULL)),
            CONSTRAINT refund_checks_theirs_is_whole CHECK (
                (their_status IS NULL) = (their_minor IS NULL))
        )""")
    op.execute("CREATE INDEX ix_refund_checks_saga_id ON refund_checks (saga_id)")
    op.execute("CREATE INDEX ix_refund_checks_payment_id ON refund_checks (payment_id)")
    op.execute("""
        CREATE INDEX refund_checks_open ON refund_checks (saga_id)
        WHERE difference IS NOT NULL OR NOT is_over""")
