"""A provider on this machine that answers what a test says, and signs it as the real ones do."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

APIV3_KEY = "0123456789abcdef0123456789abcdef"
PUBLIC_KEY_ID = "PUB_KEY_ID_01"
MCHID, APP_ID = "1900000001", "2021000000000001"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
IN_CHINA = "2026-11-22 20:00:00"


@dataclass(frozen=True)
class Answer:
    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    body: bytes


class Wire:
    """Answers each request with the next of `answers`, the last one for ever."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: list[Answer] = []
        self.asked: list[Asked] = []

    def take(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def wire() -> Iterator[Wire]:
    made = Wire()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = made.take(Asked(self.command, self.path, body))
            self.send_response(answer.status)
            for name, text in answer.headers.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_POST = do_GET  # noqa: N815 - as the server wants it

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        made.url = f"http://127.0.0.1:{server.server_port}"
        yield made
        server.shutdown()


def private_pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


def public_pem(key: rsa.RSAPrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def signature(key: rsa.RSAPrivateKey, text: str | bytes) -> str:
    data = text.encode() if isinstance(text, str) else text
    return base64.b64encode(key.sign(data, padding.PKCS1v15(), hashes.SHA256())).decode()


def wechat_headers(
    key: rsa.RSAPrivateKey, body: bytes, *, at: float | str | None = None
) -> dict[str, str]:
    """The headers with which WeChat Pay signs a body, by lower-case name."""
    timestamp = str(int(time.time()) if at is None else at)
    return {
        "content-type": "application/json",
        "wechatpay-timestamp": timestamp,
        "wechatpay-nonce": "a-nonce",
        "wechatpay-serial": PUBLIC_KEY_ID,
        "wechatpay-signature-type": "WECHATPAY2-SHA256-RSA2048",
        "wechatpay-signature": signature(key, f"{timestamp}\na-nonce\n".encode() + body + b"\n"),
    }


def wechat_answer(key: rsa.RSAPrivateKey, said: Any, status: int = 200) -> Answer:
    body = json.dumps(said, ensure_ascii=False).encode()
    return Answer(body, status, wechat_headers(key, body))


def wechat_event(resource: Any, /, **more: Any) -> bytes:
    """The body of a callback, its resource sealed with the APIv3 key."""
    text = resource if isinstance(resource, bytes) else json.dumps(resource).encode()
    sealed = AESGCM(APIV3_KEY.encode()).encrypt(b"twelve-bytes", text, b"refund")
    event = {
        "id": "EV-1",
        "event_type": "REFUND.SUCCESS",
        "resource_type": "encrypt-resource",
        "resource": {
            "algorithm": "AEAD_AES_256_GCM",
            "ciphertext": base64.b64encode(sealed).decode(),
            "associated_data": "refund",
            "nonce": "twelve-bytes",
        },
    }
    return json.dumps(event | more).encode()


def alipay_answer(key: rsa.RSAPrivateKey, method: str, said: Any, *, sign: bool = True) -> Answer:
    text = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
    name = method.replace(".", "_") + "_response"
    signed = f',"sign":"{signature(key, text)}"' if sign else ""
    return Answer(f'{{"{name}":{text}{signed}}}'.encode())


def alipay_form(key: rsa.RSAPrivateKey, said: dict[str, str], **more: str) -> bytes:
    """The body of a callback; `more` is added to what was signed."""
    text = "&".join(f"{name}={word}" for name, word in sorted(said.items()))
    return urlencode(said | {"sign_type": "RSA2", "sign": signature(key, text)} | more).encode()
