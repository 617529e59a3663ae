"""Pages from templates. Whatever is put into one is escaped; there is no way around that."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from saga.access import Permission
from saga.console.session import Session
from saga.graph import look
from saga.graph.words import duration
from saga.timeline import short, took
from saga.views import iso

STATIC = "static"

_LONGEST_TEXT = 300


class Pages:
    """Answers with pages. ``title`` is what the application is called."""

    def __init__(self, title: str, *, flower_url: str | None = None) -> None:
        self._title = title
        self._flower_url = flower_url
        self._environment = Environment(
            loader=PackageLoader("saga.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "cut": cut,
            "duration": duration,
            "gist": _gist,
            "json": _json,
            "short": short,
            "told": sentence,
            "took": took,
            "words": _words,
        }
        self._environment.globals |= {
            "statuses": look.STATUSES,
            "effects": look.EFFECTS,
            "permissions": Permission,
            "stamp": _stamp(),
        }

    def answer(
        self,
        request: Request,
        template: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **values: Any,
    ) -> HTMLResponse:
        """The page; ``session`` is None where nobody is logged in."""
        session: Session | None = getattr(request.state, "session", None)
        page = self._environment.get_template(template).render(
            application=self._title,
            flower_url=self._flower_url,
            base=request.scope.get("root_path", ""),
            session=session,
            may_act=session is not None and session.principal.may(Permission.ACT),
            here=_here(request),
            now=iso(datetime.now(UTC)),
            **values,
        )
        return HTMLResponse(page, status_code=status, headers=dict(headers or {}))


def cut(text: object, most: int = _LONGEST_TEXT) -> str:
    """The text in at most ``most`` characters; an ellipsis says that there is more."""
    whole = str(text)
    return whole if len(whole) <= most else f"{whole[: most - 1]}…"


def _here(request: Request) -> str:
    """The path below the console, for what marks where one is."""
    root: str = request.scope.get("root_path", "")
    return request.scope["path"].removeprefix(root) or "/"


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)


def clauses(line: str) -> list[str]:
    """The clauses of a line, as ``saga.why`` joins them; what stands in brackets stays whole."""
    found, depth, begin = [], 0, 0
    for at, letter in enumerate(line):
        depth += (letter == "(") - (letter == ")")
        if depth <= 0 and line.startswith("; ", at):
            found.append(line[begin:at])
            begin = at + 2
    return [*found, line[begin:]]


def sentence(clause: str, saga_type: str) -> str:
    """A clause as a sentence, with its steps' names as short as beside it."""
    said = clause.replace(f"{saga_type}.", "").strip()
    # A step's name is written as it is.
    first = said if "_" in said.partition(" ")[0] else f"{said[:1].upper()}{said[1:]}"
    return first if first.endswith(".") else f"{first}."


def _gist(error: str) -> str:
    """An alarm with its last error first: where only its beginning is shown, that says more."""
    alarm, found, last = error.partition(" (last error: ")
    return f"{last.removesuffix(')')} ({alarm})" if found else error


def _words(name: str) -> str:
    return str(name).replace("_", " ")


def _stamp() -> str:
    """Changes with what is served beside the pages, so that browsers ask for it anew."""
    content = hashlib.sha256(look.css(look.SCOPE).encode())
    for file in sorted(
        files("saga.console").joinpath(STATIC).iterdir(), key=lambda each: each.name
    ):
        content.update(file.read_bytes())
    return content.hexdigest()[:12]
