"""The engine's tables, payments and orders."""

from alembic import op
from saga import schema

revision = "0001"
down_revision = None


def upgrade() -> None:
    schema.upgrade(op.get_bind(), to=1)
    op.execute("""
        CREATE TABLE orders (
            id                   text PRIMARY KEY,
            user_id              text NOT NULL,
            currency             text NOT NULL,
            amount_minor         bigint NOT NULL,
            status               text NOT NULL,
            status_before_refund text,
            created_at           timestamptz NOT NULL DEFAULT now(),
            refunded_at          timestamptz,
            CONSTRAINT orders_status_is_known CHECK (status IN (
                'pending', 'paid', 'completed', 'cancelled', 'refunded', 'failed')),
            CONSTRAINT orders_amount_is_positive CHECK (amount_minor > 0)
        )""")
    op.execute("""
        CREATE TABLE payments (
            id             text PRIMARY KEY,
            payment_no     text NOT NULL UNIQUE,
            order_id       text NOT NULL REFERENCES orders (id),
            user_id        text NOT NULL,
            method         text NOT NULL,
            currency       text NOT NULL,
            amount_minor   bigint NOT NULL,
            refunded_minor bigint NOT NULL,
            status         text NOT NULL,
            refund_reason  text,
            refunded_at    timestamptz,
            created_at     timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT payments_status_is_known CHECK (status IN (
                'pending', 'processing', 'success', 'failed', 'refunding', 'refunded',
                'cancelled')),
            CONSTRAINT payments_method_is_known CHECK (method IN ('wechat', 'alipay', 'balance')),
            CONSTRAINT payments_amount_is_positive CHECK (amount_minor > 0),
            CONSTRAINT payments_refunds_fit_the_payment CHECK (
                refunded_minor BETWEEN 0 AND amount_minor)
        )""")
    op.execute("""
        CREATE TABLE refunds (
            refund_no    text PRIMARY KEY,
            payment_id   text NOT NULL REFERENCES payments (id),
            amount_minor bigint NOT NULL,
            reason       text NOT NULL,
            answer       jsonb NOT NULL,
            refunded_at  timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT refunds_amount_is_positive CHECK (amount_minor > 0)
        )""")
    op.execute("CREATE INDEX ix_refunds_payment_id ON refunds (payment_id)")
    op.execute("""
        CREATE TABLE wallet_entry (
            refund_no    text PRIMARY KEY,
            payment_no   text NOT NULL,
            currency     text NOT NULL,
            amount_minor bigint NOT NULL,
            reason       text NOT NULL,
            at           timestamptz NOT NULL DEFAULT now()
        )""")
    op.execute("CREATE INDEX ix_wallet_entry_payment_no ON wallet_entry (payment_no)")
