"""The sandbox's former wire: no signatures, and the same for all providers."""

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import AnyHttpUrl, Field

from gateways.payments.sandbox.answers import error
from gateways.payments.sandbox.books import Books
from gateways.payments.sandbox.connection import HangUp
from gateways.payments.sandbox.counter import Counter
from gateways.payments.sandbox.entries import Refund, RefundOrder, Rejection, Trouble
from gateways.payments.sandbox.wire import Minor, Number, Wire


class _Order(Wire):
    refund_no: Number
    payment_no: Number
    amount: Minor
    reason: str = Field(max_length=500)
    notify_url: AnyHttpUrl | None = None


def refund_routes(counter: Counter, books: Books) -> APIRouter:
    routes = APIRouter(prefix="/refunds")

    def method_of(payment_no: str | None) -> str:
        payment = None if payment_no is None else books.payment(payment_no)
        return "wechat" if payment is None else payment.method

    @routes.post("")
    async def refund(wire: _Order) -> Response:
        order = RefundOrder(
            method=method_of(wire.payment_no),
            refund_no=wire.refund_no,
            payment_no=wire.payment_no,
            amount_minor=wire.amount,
            reason=wire.reason,
        )
        return _answer(await counter.refund(order))

    @routes.get("/{refund_no}")
    async def find_refund(refund_no: str) -> Response:
        return _answer(await counter.find(method_of(books.payment_of(refund_no)), refund_no))

    return routes


def _answer(answer: Refund | Rejection | Trouble | None) -> Response:
    match answer:
        case Refund():
            return JSONResponse(answer.as_json())
        case None:
            return error(404, "REFUND_NOT_FOUND", "there is no such refund")
        case Trouble.CUT:
            return HangUp()
        case Trouble():
            return error(500, "SYSTEM_ERROR", "something broke; try again")
        case Rejection.UNKNOWN_PAYMENT:
            return error(404, "PAYMENT_NOT_FOUND", answer)
        case Rejection.TOO_MUCH:
            return error(400, "AMOUNT_EXCEEDED", answer)
        case Rejection.REFUSED:
            return error(400, "REFUSED", answer)
        case Rejection():
            return error(400, "INVALID_REQUEST", answer)
