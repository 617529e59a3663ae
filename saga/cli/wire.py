"""Asks an API over HTTP, and says in plain words what came of it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx

from saga.cli.errors import CliError, UsageError
from saga.errors import Conflict, InvalidInput, NotFound

_CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
# A stream says at least every 15 seconds that it is alive.
_SILENCE_SECONDS = 60.0

_KINDS: Mapping[int, type[NotFound | Conflict | InvalidInput]] = {
    404: NotFound,
    409: Conflict,
    413: InvalidInput,
    415: InvalidInput,
    422: InvalidInput,
}
_TRY_AGAIN = (408, 429, 502, 503, 504)


class Wire:
    """One API at ``url``, asked with ``key``. Raises UsageError for what can be neither.

    What the API refuses is raised as the engine's NotFound, Conflict and InvalidInput, with the
    API's own words; whatever else is no answer, as a CliError that says what to do.
    """

    def __init__(self, url: str, key: str | None) -> None:
        host = _host_of(url)
        headers = {"Accept": "application/json"}
        if key is not None:
            if not is_header(key):
                raise UsageError("SAGA_KEY cannot be a key: it has odd characters or spaces")
            headers["Authorization"] = f"Bearer {key}"
        self._has_key = key is not None
        self.url = url.rstrip("/")
        self._client = httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=_CONNECT_SECONDS),
            # A proxy does not know what this machine calls itself.
            trust_env=not _is_here(host),
        )

    def close(self) -> None:
        self._client.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        has: Sequence[str],
        query: Mapping[str, str] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, Any] | None = None,
        files: Mapping[str, Any] | None = None,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> dict[str, Any]:
        """Give the JSON object that is answered. It must have the fields of ``has``.

        ``body`` is sent as JSON, its numbers as they are; ``form`` and ``files`` as a form, files
        as they are read.
        """
        given = dict(headers or {})
        if body is not None:
            given["Content-Type"] = "application/json"
        try:
            answer = self._client.request(
                method,
                f"{self.url}{path}",
                params=query,
                content=None if body is None else written(body),
                headers=given,
                data=form,
                files=files,
                timeout=httpx.Timeout(answer_seconds, connect=_CONNECT_SECONDS),
            )
        except httpx.HTTPError as error:
            raise self._unanswered(error, method) from error
        return self._read(answer, f"{method} {path}", has)

    def stream(self, path: str, *, after: str | None) -> Iterator[tuple[str, str, str]]:
        """Give server-sent events as they come: each ``event``, its ``id``, its ``data``.

        ``after`` is the ``id`` of the last one that was taken. Ends where the API ends it, where it
        breaks off, and where there is none: whoever asks in another way is told why.
        """
        headers = {"Accept": "text/event-stream", **({} if after is None else _after(after))}
        timeout = httpx.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS)
        url = f"{self.url}{path}"
        try:
            with self._client.stream("GET", url, headers=headers, timeout=timeout) as answer:
                kind = answer.headers.get("Content-Type", "")
                if answer.is_success and kind.startswith("text/event-stream"):
                    yield from _messages(answer.iter_bytes())
        except httpx.HTTPError:
            return

    def _unanswered(self, error: httpx.HTTPError, method: str) -> CliError:
        doubt = "" if method == "GET" else "; it may have been done: look, before you ask again"
        match error:
            case httpx.ConnectTimeout() | httpx.ConnectError() | httpx.ProxyError():
                why = str(error) or "no connection in time"
                return CliError(
                    f"{self.url} cannot be reached ({why}); is the API up, and is this its address?"
                )
            case httpx.TimeoutException():
                return CliError(f"{self.url} did not answer in time{doubt}")
        return CliError(f"{self.url} broke off ({str(error) or type(error).__name__}){doubt}")

    def _read(self, answer: httpx.Response, asked: str, has: Sequence[str]) -> dict[str, Any]:
        try:
            told = answer.json()
        except (ValueError, RecursionError):
            told = None
        if answer.is_success and isinstance(told, dict) and told.keys() >= set(has):
            return told
        if answer.is_redirect:
            there = answer.headers.get("Location", "elsewhere")
            raise CliError(f"{self.url} sends on to {there}; give the address that answers itself")
        detail = told.get("detail") if isinstance(told, dict) else None
        if answer.is_success or not isinstance(detail, str):
            if answer.status_code in _TRY_AGAIN:
                raise CliError(f"{self.url} is not ready ({answer.status_code}); try again")
            raise CliError(
                f"{self.url} does not answer {asked} as an API of sagas does "
                f"({answer.status_code}); is this its address, and is it as new as this command?"
            )
        raise self._refused(answer.status_code, detail, told, asked)

    def _refused(self, status: int, detail: str, told: Mapping[str, Any], asked: str) -> Exception:
        if status == httpx.codes.UNAUTHORIZED:
            key = "the key in SAGA_KEY was refused" if self._has_key else "SAGA_KEY is not set"
            return CliError(f"{self.url}: {detail}; {key}: ask an admin for one (saga keys create)")
        if status == httpx.codes.FORBIDDEN:
            return CliError(f"{self.url}: {detail}; use a key of such a role")
        if (status, detail) in {(404, "Not Found"), (405, "Method Not Allowed")}:
            return CliError(f"{self.url} has no {asked}; is it as new as this command?")
        kind = _KINDS.get(status)
        if kind is None:
            again = "" if "try again" in detail or status not in _TRY_AGAIN else "; try again"
            return CliError(f"{self.url}: {detail}{again}")
        error = kind(detail)
        faults = told.get("errors")
        if isinstance(faults, list) and len(faults) == 1 and isinstance(faults[0], dict):
            error.field = faults[0].get("field")
        return error


def _after(last: str) -> dict[str, str]:
    return {"Last-Event-ID": last}


def _messages(pieces: Iterable[bytes]) -> Iterator[tuple[str, str, str]]:
    """What the HTML standard calls dispatched events; comments are none."""
    waiting = b""
    for piece in pieces:
        *whole, waiting = (waiting + piece.replace(b"\r", b"")).split(b"\n\n")
        for message in whole:
            fields: dict[str, list[str]] = {}
            # Not splitlines: it parts texts at other characters, too.
            for line in message.decode(errors="replace").split("\n"):
                name, _, value = line.partition(":")
                fields.setdefault(name, []).append(value.removeprefix(" "))
            if "data" in fields:
                event, last = fields.get("event", ["message"]), fields.get("id", [""])
                yield event[-1], last[-1], "\n".join(fields["data"])


def is_header(text: str) -> bool:
    """Whether a header may carry the text as it is."""
    return bool(text) and text.isascii() and text.isprintable() and text == text.strip()


def written(value: Any) -> str:
    """JSON of values that ``exact_json`` read, each number as it was written."""
    match value:
        case dict():
            return "{" + ",".join(f"{json.dumps(k)}:{written(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ",".join(map(written, value)) + "]"
        case Decimal():
            return str(value)
    return json.dumps(value)


def _host_of(url: str) -> str:
    """Whose address it is. Raises UsageError where it is none of an API."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"--url {url} is no address: {error}") from error
    if parts.username is not None or parts.password is not None:
        raise UsageError("--url must not carry a name or a key: set SAGA_KEY")
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
        raise UsageError(f"--url {url} is no address such as https://sagas.example.org")
    return host


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
