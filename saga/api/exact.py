"""JSON bodies whose numbers stay what was written."""

import json
from collections.abc import Callable, Coroutine
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from saga.inputs import exact_json


class ExactRequest(Request):
    """A request that reads 0.1 as the decimal 0.1, not as the binary float beside it."""

    async def json(self) -> Any:
        """Read the body. Raises JSONDecodeError for whatever cannot be read."""
        body = await self.body()
        try:
            return exact_json(body)
        except json.JSONDecodeError:
            raise
        except (ValueError, RecursionError) as error:
            reason = "too deep" if isinstance(error, RecursionError) else "not in UTF-8"
            raise json.JSONDecodeError(reason, "", 0) from error


class ExactRoute(APIRoute):
    """A route whose handler is given exact numbers, and writes its answer in its own thread."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if not iscoroutinefunction(endpoint):
            endpoint = _writing(endpoint, status=options.get("status_code") or 200)
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def exact(request: Request) -> Response:
            return await handler(ExactRequest(request.scope, request.receive))

        return exact


def _writing(endpoint: Callable[..., Any], *, status: int) -> Callable[..., Any]:
    """The handler, which makes a response of the model that it returns.

    FastAPI would check the model again in another thread, and wait for one.
    """

    @wraps(endpoint)
    def writing(**values: Any) -> Any:
        answer = endpoint(**values)
        if not isinstance(answer, BaseModel):
            return answer
        body = answer.model_dump_json(by_alias=True)
        return Response(body, status, media_type="application/json")

    return writing


class JsonRoute(ExactRoute):
    """Such a route whose body is JSON by whatever name it comes: plain ``curl -d`` gives none."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def read_as_json(request: Request) -> Response:
            kind = b"content-type"
            others = [header for header in request.scope["headers"] if header[0] != kind]
            headers = [*others, (kind, b"application/json")]
            return await handler(Request({**request.scope, "headers": headers}, request.receive))

        return read_as_json
