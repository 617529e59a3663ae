"""The S3 server with its faults before it, and what it holds for whoever counts."""

import hashlib
import io
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs, unquote

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from pydantic import ValidationError

from gateways.objects.sandbox.faults import Fault, Faults, Kind, Operation

Environ = dict[str, Any]
Respond = Callable[..., Any]

_ACCOUNT, _PARTITION = "123456789012", "aws"
_XML = (
    "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{}</Code><Message>ordered</Message></Error>"
)
_ANSWERS = {
    Kind.ERROR: ("500 Internal Server Error", "InternalError"),
    Kind.FULL: ("507 Insufficient Storage", "XMinioStorageFull"),
    Kind.REFUSED: ("403 Forbidden", "AccessDenied"),
}


class Server:
    """A WSGI application: S3 below ``/BUCKET``, its controls below ``/control``."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._faults = Faults()
        # moto itself minds no threads: an upload that is aborted while it is written breaks it.
        self._one_at_a_time = threading.Lock()
        self._s3 = DomainDispatcherApplication(create_backend_app)
        self._backend = s3_backends[_ACCOUNT][_PARTITION]
        self._backend.create_bucket(bucket, "us-east-1")

    def __call__(self, environ: Environ, respond: Respond) -> Iterable[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        match path, method:
            case "/healthz", "GET":
                return _json(respond, {"status": "ok"})
            case "/control/books", "GET":
                return _json(respond, self._books())
            case "/control/faults", "POST":
                return self._order(environ, respond)
            case "/control/faults", "DELETE":
                self._faults.forget()
                return _json(respond, {})
        _, _, key = unquote(path).strip("/").partition("/")
        operation = Operation.of(method, environ.get("QUERY_STRING", ""), has_key=bool(key))
        if operation is Operation.DELETE and not key:
            environ = _with(environ, _body(environ))
            key = _first_key(environ["wsgi.input"].getvalue())
        fault = self._faults.take(operation, key, _size(environ))
        if fault is None:
            return self._serve(environ, respond)
        return self._fail(fault, key, environ, respond)

    def _serve(self, environ: Environ, respond: Respond) -> Iterable[bytes]:
        # Before the lock: a client that sends slowly holds up nobody.
        whole = _with(environ, _body(environ))
        with self._one_at_a_time:
            if not self._knows(environ.get("QUERY_STRING", "")):
                respond("404 Not Found", [("Content-Type", "application/xml")])
                return [_XML.format("NoSuchUpload").encode()]
            answer: Iterable[bytes] = self._s3(whole, respond)
            return answer

    def _fail(self, fault: Fault, key: str, environ: Environ, respond: Respond) -> Iterable[bytes]:
        match fault.kind:
            case Kind.ERROR | Kind.FULL | Kind.REFUSED:
                _body(environ)
                status, code = _ANSWERS[fault.kind]
                respond(status, [("Content-Type", "application/xml")])
                return [_XML.format(code).encode()]
            case Kind.SLOW:
                time.sleep(fault.seconds)
                return self._serve(environ, respond)
            case Kind.WRONG:
                body = _body(environ)
                return self._serve(
                    _with(environ, bytes(255 - byte for byte in body[:1]) + body[1:]), respond
                )
            case Kind.LATE:
                self._serve(environ, lambda *_: None)
                self._hide(key, fault.seconds)
            case Kind.CUT:
                environ["wsgi.input"].read(fault.after_bytes)
            case Kind.DOWN:
                pass
        _hang_up(environ)
        raise ConnectionError("ordered")

    def _hide(self, key: str, seconds: float) -> None:
        """Let an object that was just made come to light only later, whatever was removed since."""
        with self._one_at_a_time:
            keys = self._backend.buckets[self._bucket].keys
            if (made := keys.get(key)) is None:
                return
            content = made.value  # what is taken out is closed
            keys.pop(key)

        def reveal() -> None:
            with self._one_at_a_time:
                self._backend.put_object(self._bucket, key, content)

        threading.Timer(seconds, reveal).start()

    def _knows(self, query: str) -> bool:
        """Whether the upload that a request names is there; moto fails where it is not."""
        named = parse_qs(query).get("uploadId", [])
        return all(name in self._backend.buckets[self._bucket].multiparts for name in named)

    def _order(self, environ: Environ, respond: Respond) -> Iterable[bytes]:
        try:
            self._faults.order(Fault.model_validate_json(_body(environ)))
        except ValidationError as error:
            return _json(respond, {"detail": str(error)}, "422 Unprocessable Entity")
        return _json(respond, {})

    def _books(self) -> dict[str, Any]:
        with self._one_at_a_time:
            bucket = self._backend.buckets[self._bucket]
            held = [(key, found.value) for key, found in bucket.keys.items()]
            uploads = [
                {"key": upload.key_name, "uploadId": upload_id}
                for upload_id, upload in bucket.multiparts.items()
            ]
        objects = [
            {"key": key, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for key, content in held
        ]
        return {"objects": objects, "uploads": uploads}


def _first_key(body: bytes) -> str:
    """The key in a request that deletes objects by a list; ours are plain."""
    named = re.search(rb"<Key>([^<]*)</Key>", body)
    return named[1].decode() if named else ""


def _json(respond: Respond, told: Any, status: str = "200 OK") -> Iterable[bytes]:
    respond(status, [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]


def _body(environ: Environ) -> bytes:
    body: bytes = environ["wsgi.input"].read(_size(environ))
    return body


def _size(environ: Environ) -> int:
    return int(environ.get("CONTENT_LENGTH") or 0)


def _with(environ: Environ, body: bytes) -> Environ:
    return {**environ, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}


def _hang_up(environ: Environ) -> None:
    connection: socket.socket = environ["werkzeug.socket"]
    connection.shutdown(socket.SHUT_RDWR)
