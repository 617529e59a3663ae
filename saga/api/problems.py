"""Errors as RFC 9457 problems, and which error of ours is which."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from starlette.exceptions import HTTPException

from saga.database import is_away
from saga.errors import Conflict, InvalidInput, NotFound, SagaError
from saga.inputs import plain_fault

MEDIA_TYPE = "application/problem+json"

_LONGEST_FIELD = 100
_UNCLEAR = (
    "the database is away, and whether this was done is not known: look, or send the same again "
    "with the same Idempotency-Key, signalId or version, by which it is not done twice"
)


class FieldError(BaseModel):
    """What is wrong with one field of the request, as it is named on the wire."""

    field: str
    message: str


class Problem(BaseModel):
    """An error, as RFC 9457 says: ``sagaId`` is the saga in the way, ``allowed`` what may be."""

    model_config = ConfigDict(populate_by_name=True)

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError]
    saga_id: str | None = Field(None, alias="sagaId")
    allowed: list[str] | None = None


def problem(
    status: int,
    detail: str,
    *,
    errors: Sequence[FieldError] = (),
    saga_id: object = None,
    allowed: Sequence[str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    body = Problem(
        type="about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        errors=list(errors),
        saga_id=None if saga_id is None else str(saga_id),
        allowed=None if allowed is None else list(allowed),
    )
    return JSONResponse(
        body.model_dump(by_alias=True, exclude_none=True),
        status_code=status,
        headers=None if headers is None else dict(headers),
        media_type=MEDIA_TYPE,
    )


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route may answer with, for OpenAPI; those of all routes included."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: schema}}
        for status in sorted({401, 403, 500, 503, *statuses})
    }


def handle_errors(app: FastAPI) -> None:
    """Answer every error that the application knows with its problem."""
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _plain)
    app.add_exception_handler(SagaError, _ours)
    app.add_exception_handler(DBAPIError, _database)
    app.add_exception_handler(NoConnectionFree, _database)


async def _not_valid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [FieldError(field=_field(one), message=_message(one)) for one in error.errors()]
    detail = "; ".join(f"{one.field} {one.message}" for one in errors[:5])
    return problem(422, detail, errors=errors)


def _field(error: Mapping[str, Any]) -> str:
    where = error["loc"]
    inside = [] if error["type"] == "json_invalid" else [str(part) for part in where[1:]]
    return (".".join(inside) or str(where[0]))[:_LONGEST_FIELD]


def _message(error: Mapping[str, Any]) -> str:
    match error["type"]:
        case "json_invalid":
            return f"is no JSON: {error['ctx']['error']}"
        case "model_attributes_type" | "model_type" | "dict_type":
            return "must be a JSON object, sent as application/json"
    return plain_fault(error)


async def _plain(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, error.detail, headers=error.headers)


async def _ours(_request: Request, error: Exception) -> JSONResponse:
    match error:
        case NotFound():
            status = 404
        case Conflict():
            status = 409
        case InvalidInput():
            status = 422
        case _:
            raise error
    field, detail = error.field, str(error)
    return problem(
        status,
        detail,
        errors=[FieldError(field=field, message=detail)] if field else [],
        saga_id=None if isinstance(error, NotFound) else getattr(error, "saga_id", None),
        allowed=error.allowed if isinstance(error, Conflict) else None,
    )


async def _database(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, NoConnectionFree) and not is_away(error):
        raise error
    # A commit may have been cut off from its answer.
    is_read = request.method in {"GET", "HEAD"}
    detail = "the database is away; try again" if is_read else _UNCLEAR
    return problem(503, detail, headers={"Retry-After": "2"})
