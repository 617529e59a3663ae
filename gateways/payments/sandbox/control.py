"""What steers the provider and shows its books to an auditor: the routes under /control."""

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from gateways.payments.sandbox.books import Books
from gateways.payments.sandbox.faults import Fault, FaultQueue
from gateways.payments.sandbox.wire import Decision, FaultOrder, PaymentNotices


def control_routes(books: Books, faults: FaultQueue) -> APIRouter:
    control = APIRouter(prefix="/control")

    @control.post("/payments")
    async def know(notices: PaymentNotices) -> Response:
        others = books.know([notice.payment() for notice in notices.payments])
        if not others:
            return JSONResponse({"known": len(notices.payments)})
        said = f"known with another amount or method, nothing was learnt: {', '.join(others[:10])}"
        return _conflict(said)

    @control.get("/books")
    async def show_books() -> Response:
        refunds = [refund.as_json() | {"requests": refund.requests} for refund in books.refunds()]
        return JSONResponse({"refunds": refunds})

    @control.post("/refunds/{refund_no}")
    async def decide(refund_no: str, decision: Decision) -> Response:
        refund = books.decide(refund_no, decision.status)
        if refund is not None:
            return JSONResponse(refund.as_json())
        return _conflict(f"there is no refund {refund_no} that is PROCESSING or ABNORMAL")

    @control.post("/faults")
    async def add_fault(order: FaultOrder) -> Response:
        fault = order.fault()
        faults.add(fault)
        return JSONResponse(_fault(fault))

    @control.get("/faults")
    async def show_faults() -> Response:
        return JSONResponse({"faults": [_fault(fault) for fault in faults.pending()]})

    @control.delete("/faults")
    async def clear_faults() -> Response:
        faults.clear()
        return JSONResponse({"faults": []})

    return control


def _fault(fault: Fault) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "operation": fault.operation.value,
        "kind": fault.kind.value,
        "times": fault.times,
        "seconds": fault.seconds,
    }
    return shown if fault.payment_no is None else shown | {"paymentNo": fault.payment_no}


def _conflict(said: str) -> Response:
    problem = {"type": "about:blank", "title": "Conflict", "status": 409, "detail": said}
    return JSONResponse(problem, status_code=409, media_type="application/problem+json")
