"""How the provider puts its answers."""

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse


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
