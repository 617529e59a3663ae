"""Which request starts a saga, found in an API's OpenAPI document, and what its input becomes."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from saga.cli.errors import UsageError

SAGA_TYPE = "x-saga-type"

_FORM = "multipart/form-data"
_JSON = "application/json"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is sent: at most one of ``body`` and, with the files' paths, ``form``."""

    path: str
    body: dict[str, Any] | None = None
    form: dict[str, Any] | None = None
    files: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A route that starts sagas of one type. ``names`` are its path's parameters.

    ``takes`` is the media type of its body, if it has one; of a form, ``files`` are its files.
    """

    method: str
    path: str
    names: tuple[str, ...]
    takes: str | None
    files: frozenset[str] = frozenset()

    def request(self, given: Mapping[str, Any]) -> Request:
        """What the input becomes. Raises UsageError where a field is missing or too many."""
        left, path = dict(given), self.path
        for name in self.names:
            path = path.replace(f"{{{name}}}", _segment(name, left))
        if self.takes == _JSON:
            return Request(path=path, body=left)
        if self.takes == _FORM:
            return self._form(path, left)
        if left:
            raise UsageError(f"{', '.join(sorted(left))}: is not known")
        return Request(path=path)

    def _form(self, path: str, left: dict[str, Any]) -> Request:
        files = {}
        for name in self.files & left.keys():
            file = left.pop(name)
            if not isinstance(file, str) or not file or "\0" in file:
                raise UsageError(f"{name}: must be the path of a file")
            files[name] = Path(file)
        for name in self.files - files.keys():
            raise UsageError(f"{name}: is missing")
        form = {name: _parts(name, value) for name, value in left.items() if value is not None}
        return Request(path=path, form=form, files=files)


def opened(files: Mapping[str, Path], stack: ExitStack) -> dict[str, tuple[str, BinaryIO]]:
    """The files as a form takes them, closed by the stack. Raises UsageError."""
    streams: dict[str, tuple[str, BinaryIO]] = {}
    for name, path in files.items():
        try:
            streams[name] = (path.name, stack.enter_context(path.open("rb")))
        except OSError as error:
            raise UsageError(f"{name}: {path} cannot be read: {error.strerror}") from error
    return streams


def operations(document: Mapping[str, Any]) -> dict[str, Operation]:
    """Each saga type that the document's routes say they start, with its route."""
    found = {}
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            if isinstance(said, dict) and isinstance(said.get(SAGA_TYPE), str):
                takes, schema = _body(document, said)
                found[said[SAGA_TYPE]] = Operation(
                    method=method.upper(),
                    path=path,
                    names=tuple(_names(said)),
                    takes=takes,
                    files=frozenset(_files(schema)),
                )
    return found


def _names(said: Mapping[str, Any]) -> Iterator[str]:
    for parameter in said.get("parameters", ()):
        if parameter.get("in") == "path":
            yield parameter["name"]


def _body(
    document: Mapping[str, Any], said: Mapping[str, Any]
) -> tuple[str | None, Mapping[str, Any]]:
    content = said.get("requestBody", {}).get("content", {})
    for takes in (_FORM, _JSON):
        if takes in content:
            return takes, _resolved(document, content[takes].get("schema", {}))
    return None, {}


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    for word in str(schema.get("$ref", "#")).split("/")[1:]:
        document = document[word]
        schema = document
    return schema


def _files(schema: Mapping[str, Any]) -> Iterator[str]:
    for name, told in schema.get("properties", {}).items():
        if told.get("format") == "binary" or "contentMediaType" in told:
            yield name


def _segment(name: str, left: dict[str, Any]) -> str:
    """Take the parameter's value out of the input, as a URL has it.

    ``id`` may be called by what it is the id of, such as ``deviceId``.
    """
    ids = [field for field in left if field.endswith("Id")]
    field = ids[0] if name == "id" and name not in left and len(ids) == 1 else name
    if field not in left:
        raise UsageError(f"{field}: is missing")
    value = left.pop(field)
    if not isinstance(value, str):
        raise UsageError(f"{field}: must be text")
    # Dots would be another place in the URL; no id is made of nothing else.
    if not value.strip("."):
        raise UsageError(f"{field}: {value!r} is no id")
    return quote(value, safe="", errors="replace")


def _parts(name: str, value: Any) -> list[str]:
    """One part for each of the field's texts."""
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise UsageError(f"{name}: must be text")
    # What is no UTF-8 cannot be sent, and never was meant.
    return [text.encode(errors="replace").decode() for text in texts]
