"""Where refunds are asked for and asked after, on whichever wire; they go wrong as ordered.

It calls the books straight from the event loop: a transaction takes milliseconds, and one thread
makes them come one after the other.
"""

import asyncio
from dataclasses import replace

from gateways.payments.gateway import RefundStatus
from gateways.payments.sandbox.books import Books
from gateways.payments.sandbox.entries import Refund, RefundOrder, Rejection, Trouble
from gateways.payments.sandbox.faults import Fault, FaultQueue, Kind, Operation

_REFUSALS = {
    Kind.REFUSE: Rejection.REFUSED,
    Kind.NOT_ENOUGH: Rejection.NOT_ENOUGH,
    Kind.BUSY: Rejection.BUSY,
}


class Counter:
    def __init__(self, books: Books, faults: FaultQueue) -> None:
        self._books = books
        self._faults = faults

    async def refund(self, order: RefundOrder) -> Refund | Rejection | Trouble:
        fault = self._faults.take(Operation.REFUND, order.payment_no)
        if fault is None:
            return self._books.refund(order)
        return await self._refund_wrongly(order, fault)

    async def find(self, method: str, refund_no: str) -> Refund | Rejection | Trouble | None:
        """Return the refund of that number at that provider, None where there is none."""
        fault = self._faults.take(Operation.QUERY, self._books.payment_of(refund_no))
        if fault is None:
            return self._find(method, refund_no)
        return await self._find_wrongly(method, refund_no, fault)

    async def _refund_wrongly(
        self, order: RefundOrder, fault: Fault
    ) -> Refund | Rejection | Trouble:
        books = self._books
        match fault.kind:
            case Kind.REFUSE | Kind.NOT_ENOUGH | Kind.BUSY:
                books.count(order)
                return _REFUSALS[fault.kind]
            case Kind.ERROR_BEFORE:
                books.count(order)
                return Trouble.ERROR
            case Kind.ERROR_AFTER:
                books.refund(order)
                return Trouble.ERROR
            case Kind.HANG:
                books.count(order)
                await asyncio.sleep(fault.seconds)
                return Trouble.CUT
            case Kind.SLOW:
                books.count(order)
                await asyncio.sleep(fault.seconds)
                return books.refund(order, counted=True)
            case Kind.LATE:
                books.refund_later(order, seconds=fault.seconds)
                return Trouble.CUT
            case Kind.PROCESSING:
                return books.refund(order, final_in_seconds=fault.seconds)
            case Kind.NONSENSE:
                books.refund(order)
                return Trouble.NONSENSE

    async def _find_wrongly(
        self, method: str, refund_no: str, fault: Fault
    ) -> Refund | Rejection | Trouble | None:
        match fault.kind:
            case Kind.REFUSE | Kind.NOT_ENOUGH | Kind.BUSY:
                return _REFUSALS[fault.kind]
            case Kind.ERROR_BEFORE | Kind.ERROR_AFTER:
                return Trouble.ERROR
            case Kind.HANG:
                await asyncio.sleep(fault.seconds)
                return Trouble.CUT
            case Kind.SLOW:
                await asyncio.sleep(fault.seconds)
                return self._find(method, refund_no)
            case Kind.LATE:
                return Trouble.CUT
            case Kind.PROCESSING:
                found = self._find(method, refund_no)
                return found and replace(found, status=RefundStatus.PROCESSING, done_at=None)
            case Kind.NONSENSE:
                return Trouble.NONSENSE

    def _find(self, method: str, refund_no: str) -> Refund | None:
        found = self._books.find(refund_no)
        return found if found is not None and found.method == method else None
