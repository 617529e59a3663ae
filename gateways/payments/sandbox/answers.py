"""How the provider puts its answers."""

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from gateways.payments.gateway import RefundStatus
from gateways.payments.sandbox.entries import Refund, Rejection


def answer(answer: Refund | Rejection) -> Response:
    match answer:
        case Refund():
            return JSONResponse(answer.as_json())
        case Rejection():
            return error(answer.http_status, answer.code, answer.message)


def found(refund: Refund | None, *, shown_as: RefundStatus | None = None) -> Response:
    if refund is None:
        return error(404, "REFUND_NOT_FOUND", "there is no such refund")
    answer = refund.as_json()
    return JSONResponse(answer if shown_as is None else answer | {"status": shown_as.value})


def refused() -> Response:
    return error(400, "REFUSED", "the provider does not do this")


def system_error() -> Response:
    return error(500, "SYSTEM_ERROR", "something broke; try again")


def error(http_status: int, code: str, message: str) -> Response:
    return JSONResponse({"code": code, "message": message}, status_code=http_status)


async def invalid(request: Request, fault: Exception) -> Response:
    """Say which fields of the request are wrong: as a provider, or as a problem for /control."""
    assert isinstance(fault, RequestValidationError)
    faulty = [
        {
            "field": ".".join(str(part) for part in each["loc"][1:]),
            "message": each["msg"].removeprefix("Value error, "),
        }
        for each in fault.errors()
    ]
    said = "; ".join(f"{each['field']}: {each['message']}" for each in faulty)
    if not request.url.path.startswith("/control/"):
        return error(400, "INVALID_REQUEST", said)
    problem = {"type": "about:blank", "title": "Invalid order", "status": 422}
    return JSONResponse(
        problem | {"detail": said, "errors": faulty},
        status_code=422,
        media_type="application/problem+json",
    )
