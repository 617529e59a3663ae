"""How the routes under /control say what is wrong with an order."""

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse


async def invalid(request: Request, fault: Exception) -> Response:  # noqa: ARG001 - FastAPI gives it
    """Say which fields are wrong. The wires judge what they are sent themselves."""
    assert isinstance(fault, RequestValidationError)
    faulty = [
        {
            "field": ".".join(str(part) for part in each["loc"][1:]),
            "message": each["msg"].removeprefix("Value error, "),
        }
        for each in fault.errors()
    ]
    said = "; ".join(f"{each['field']}: {each['message']}" for each in faulty)
    problem = {"type": "about:blank", "title": "Invalid order", "status": 422}
    return JSONResponse(
        problem | {"detail": said, "errors": faulty},
        status_code=422,
        media_type="application/problem+json",
    )
