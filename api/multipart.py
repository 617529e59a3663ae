"""Forms that carry a file, read piece by piece: no more than a piece of them is ever in memory."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeAlias

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import Request

from saga import InvalidInput

MOST_PARTS = 32
LARGEST_FIELD = 16_384


class BadForm(InvalidInput):
    """The form cannot be read, or holds what it must not; ``field`` says where."""

    def __init__(self, message: str, *, name: str = "body") -> None:
        self.field = name
        super().__init__(f"{name} {message}")


@dataclass(frozen=True)
class Begins:
    """A part begins: a file if it has a ``filename``, else a field."""

    name: str
    filename: str | None


@dataclass(frozen=True)
class Piece:
    """The next bytes of the part that began last."""

    content: bytes


@dataclass(frozen=True)
class Ends:
    """That part is whole."""


Seen: TypeAlias = Begins | Piece | Ends


async def read_parts(request: Request, *, stall: timedelta) -> AsyncIterator[Seen]:
    """The parts of a ``multipart/form-data`` body, as they come in.

    Raises BadForm for one that is none, is broken or ends early; answers 415 for another kind of
    body, and 408 when nothing comes for so long. ClientDisconnect goes through.
    """
    reader = _Reader()
    parser = _parser(_boundary(request), reader)
    stream = request.stream()
    while True:
        try:
            chunk = await asyncio.wait_for(anext(stream, None), stall.total_seconds())
        except TimeoutError:
            raise HTTPException(
                408,
                f"nothing came for {stall.total_seconds():.0f} s: send it again",
                headers={"Connection": "close"},
            ) from None
        if chunk is None:
            break
        try:
            parser.write(chunk)
        except FormParserError:
            raise BadForm("is no form that can be read: send multipart/form-data") from None
        for seen in reader.taken():
            yield seen
    if not reader.is_whole:
        raise BadForm("ends before the form does: send all of it")


def _parser(boundary: bytes, reader: "_Reader") -> MultipartParser:
    try:
        return MultipartParser(
            boundary,
            {
                "on_part_begin": reader.part_begin,
                "on_header_field": reader.header_name,
                "on_header_value": reader.header_value,
                "on_header_end": reader.header_end,
                "on_headers_finished": reader.headers_end,
                "on_part_data": reader.data,
                "on_part_end": reader.part_end,
                "on_end": reader.end,
            },
        )
    except FormParserError:
        raise BadForm("has a boundary that is too long: let your client make it") from None


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        raise HTTPException(415, "send multipart/form-data with the file in the part 'file'")
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise BadForm("has no boundary: let your client make the Content-Type")
    return boundary


@dataclass
class _Reader:
    """What the parser calls; keeps what it saw until it is taken."""

    is_whole: bool = False
    _seen: list[Seen] = field(default_factory=list)
    _parts: int = 0
    _name: bytes = b""
    _value: bytes = b""
    _headers: dict[bytes, bytes] = field(default_factory=dict)

    def taken(self) -> list[Seen]:
        taken, self._seen = self._seen, []
        return taken

    def part_begin(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise BadForm(f"has more than {MOST_PARTS} parts")
        self._headers = {}

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def headers_end(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name")
        if kind != b"form-data" or name is None:
            raise BadForm("has a part without a name")
        filename = options.get(b"filename")
        told = None if filename is None else filename.decode(errors="replace")
        self._seen.append(Begins(name.decode(errors="replace"), told))

    def data(self, data: bytes, start: int, end: int) -> None:
        self._seen.append(Piece(data[start:end]))

    def part_end(self) -> None:
        self._seen.append(Ends())

    def end(self) -> None:
        self.is_whole = True
