"""The form that an application is uploaded with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from api.multipart import LARGEST_FIELD, BadForm, Begins, Ends, Piece, read_parts
from gateways.staging import Incoming, Staged, Staging
from settings import settings
from workflows import AppDetails

_SINGLE = ("name", "description")
_FIELDS = (*_SINGLE, "tags")
_SHOWN = 50

BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file", "name"],
                "properties": {
                    "file": {"type": "string", "format": "binary", "description": "The APK."},
                    "name": {"type": "string", "minLength": 1, "maxLength": 100},
                    "description": {"type": "string", "maxLength": 1000},
                    "tags": {
                        "type": "array",
                        "maxItems": 10,
                        "items": {"type": "string", "minLength": 1, "maxLength": 50},
                        "description": "One part for each.",
                    },
                },
            }
        }
    },
}


async def receive_upload(
    request: Request, stage: Staging, saga_id: UUID
) -> tuple[Staged, AppDetails]:
    """Stage the form's file, and read its fields; nothing is left of a form that is refused."""
    async with _receiving(stage, saga_id) as incoming:
        details = _details(await _read(request, incoming))
        staged = await run_in_threadpool(incoming.finish)
    return staged, details


@asynccontextmanager
async def _receiving(stage: Staging, saga_id: UUID) -> AsyncIterator[Incoming]:
    """``stage.receive`` in threads: a slow disk keeps nobody else waiting."""
    incoming = await run_in_threadpool(stage.receive(saga_id).__enter__)
    try:
        yield incoming
    except BaseException as error:
        await run_in_threadpool(incoming.__exit__, type(error), error, error.__traceback__)
        raise
    await run_in_threadpool(incoming.__exit__, None, None, None)


async def _read(request: Request, incoming: Incoming) -> dict[str, list[str]]:
    """The form's fields; its file goes into ``incoming``."""
    fields: dict[str, list[str]] = {}
    has_file, is_empty, name, value = False, True, "", bytearray()
    async for seen in read_parts(request, stall=settings.app_upload_stall):
        match seen:
            case Begins(name=name):
                if name == "file" and has_file:
                    raise BadForm("is there twice: send one APK", name=name)
                if name != "file" and name not in _FIELDS:
                    known = ", ".join(("file", *_FIELDS))
                    raise BadForm(f"has an unknown part {name[:_SHOWN]!r}; there are {known}")
                has_file = has_file or name == "file"
                value.clear()
            case Piece(content) if name == "file":
                await run_in_threadpool(incoming.write, content)
                is_empty = False
            case Piece(content):
                value += content
                if len(value) > LARGEST_FIELD:
                    raise BadForm("is too long", name=name)
            case Ends() if name != "file":
                fields.setdefault(name, []).append(_text(name, value))
    if not has_file:
        raise BadForm("is missing: send the APK in the part 'file'", name="file")
    if is_empty:
        raise BadForm("is empty: send the APK", name="file")
    return fields


def _text(name: str, value: bytearray) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise BadForm("is not in UTF-8", name=name) from None


def _details(fields: dict[str, list[str]]) -> AppDetails:
    for name in _SINGLE:
        if len(fields.get(name, ())) > 1:
            raise BadForm("is there twice", name=name)
    given: dict[str, Any] = {name: fields[name][0] for name in _SINGLE if name in fields}
    try:
        return AppDetails(**given, tags=fields.get("tags", []))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise RequestValidationError(
            [{**fault, "loc": ("body", *fault["loc"])} for fault in faults]
        ) from None
