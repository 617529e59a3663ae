"""The wallet: money that we hold for our own users."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Engine,
    MetaData,
    Row,
    Select,
    Table,
    Text,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from gateways.payments.gateway import (
    CallbackRejected,
    NumberReused,
    RefundAnswer,
    RefundNotice,
    RefundRequest,
    RefundStatus,
)

metadata = MetaData()

wallet_entry = Table(
    "wallet_entry",
    metadata,
    Column("refund_no", Text, primary_key=True),
    Column("payment_no", Text, nullable=False, index=True),
    Column("currency", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)


class WalletGateway:
    """Refunds into the wallet: one row in a transaction of its own; its number is unique."""

    def __init__(self, database: Engine) -> None:
        self._database = database

    def refund(self, request: RefundRequest) -> RefundAnswer:
        """Book the refund, once. Raises NumberReused when the number has another one."""
        entry = {
            "refund_no": request.refund_no,
            "payment_no": request.payment_no,
            "currency": request.currency,
            "amount_minor": request.amount_minor,
            "reason": request.reason,
        }
        with self._database.begin() as connection:
            connection.execute(insert(wallet_entry).values(entry).on_conflict_do_nothing())
            booked = connection.execute(_by_number(request.refund_no)).one()
        return _answer(booked, request.payment_no).answering(request)

    def find_refund(self, refund_no: str, *, payment_no: str) -> RefundAnswer | None:
        """The refund as booked; None when there is none at this moment. Raises NumberReused."""
        with self._database.begin() as connection:
            booked = connection.execute(_by_number(refund_no)).one_or_none()
        return None if booked is None else _answer(booked, payment_no)

    def verify_callback(
        self,
        headers: Mapping[str, str],  # noqa: ARG002 - nobody can be right
        body: bytes,  # noqa: ARG002
        *,
        now: datetime,  # noqa: ARG002
    ) -> RefundNotice | None:
        """Raises CallbackRejected: what the wallet did, it said at once."""
        raise CallbackRejected("the wallet calls nobody back")


def _by_number(refund_no: str) -> Select[tuple[str, str, int]]:
    return select(wallet_entry).where(wallet_entry.c.refund_no == refund_no)


def _answer(booked: Row[tuple[str, str, int]], payment_no: str) -> RefundAnswer:
    if booked.payment_no != payment_no:
        raise NumberReused(booked.refund_no, booked.amount_minor)
    return RefundAnswer(
        refund_no=booked.refund_no,
        status=RefundStatus.SUCCESS,
        amount_minor=booked.amount_minor,
        raw={"bookedAt": booked.at.isoformat()},
    )
