"""The provider's API: refunds are asked for and asked after, and go wrong as ordered."""

import asyncio

from fastapi import APIRouter, Response

from gateways.payments.gateway import RefundRequest, RefundStatus
from gateways.payments.sandbox.answers import answer, found, refused, system_error
from gateways.payments.sandbox.books import Books
from gateways.payments.sandbox.connection import HangUp
from gateways.payments.sandbox.faults import Fault, FaultQueue, Kind, Operation
from gateways.payments.sandbox.wire import RefundOrder


def refund_routes(books: Books, faults: FaultQueue) -> APIRouter:
    """Return the routes under /refunds.

    They call the books straight from the event loop: a transaction takes milliseconds, and
    one thread makes them come one after the other.
    """
    routes = APIRouter(prefix="/refunds")

    @routes.post("")
    async def refund(wire: RefundOrder) -> Response:
        order = wire.request()
        fault = faults.take(Operation.REFUND, order.payment_no)
        if fault is None:
            return answer(books.refund(order))
        return await _refund_wrongly(books, order, fault)

    @routes.get("/{refund_no}")
    async def find_refund(refund_no: str) -> Response:
        fault = faults.take(Operation.QUERY, books.payment_of(refund_no))
        if fault is None:
            return found(books.find(refund_no))
        return await _find_wrongly(books, refund_no, fault)

    return routes


async def _refund_wrongly(books: Books, order: RefundRequest, fault: Fault) -> Response:
    match fault.kind:
        case Kind.REFUSE:
            books.count(order)
            return refused()
        case Kind.ERROR_BEFORE:
            books.count(order)
            return system_error()
        case Kind.ERROR_AFTER:
            books.refund(order)
            return system_error()
        case Kind.HANG:
            books.count(order)
            await asyncio.sleep(fault.seconds)
            return HangUp()
        case Kind.SLOW:
            books.count(order)
            await asyncio.sleep(fault.seconds)
            return answer(books.refund(order, counted=True))
        case Kind.LATE:
            books.refund_later(order, seconds=fault.seconds)
            return HangUp()
        case Kind.PROCESSING:
            return answer(books.refund(order, final_in_seconds=fault.seconds))


async def _find_wrongly(books: Books, refund_no: str, fault: Fault) -> Response:
    match fault.kind:
        case Kind.REFUSE:
            return refused()
        case Kind.ERROR_BEFORE | Kind.ERROR_AFTER:
            return system_error()
        case Kind.HANG:
            await asyncio.sleep(fault.seconds)
            return HangUp()
        case Kind.SLOW:
            await asyncio.sleep(fault.seconds)
            return found(books.find(refund_no))
        case Kind.LATE:
            return HangUp()
        case Kind.PROCESSING:
            return found(books.find(refund_no), shown_as=RefundStatus.PROCESSING)
