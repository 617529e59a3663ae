"""Who is told of new versions: takes what is signed, refuses whom it is told to refuse."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr"
HANG_UP = 0


@dataclass
class Listener:
    """What was heard; ``answers`` has the status for an application, HANG_UP for none at all."""

    url: str = ""
    answers: dict[str, int] = field(default_factory=dict)
    taken: dict[str, Counter[str]] = field(default_factory=dict)
    """Of each application the ids of its notices, and how often each came."""

    def hear(self, body: bytes, headers: dict[str, str]) -> int:
        """Answer one notice. Raises what the library raises for a signature that is none."""
        told = Webhook(SECRET).verify(body, headers)
        assert told == json.loads(body)
        app_id = told["data"]["id"]
        if (answer := self.answers.get(app_id)) is None:
            self.taken.setdefault(app_id, Counter())[headers["webhook-id"]] += 1
            return 204
        return answer


@contextmanager
def open_listener() -> Iterator[Listener]:
    """Listen on a free port while the block runs."""
    listener = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            try:
                status = listener.hear(
                    body, {name.lower(): it for name, it in self.headers.items()}
                )
            except Exception:  # noqa: BLE001 - whatever is wrong with it
                status = 401
            if status != HANG_UP:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing of each request."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        listener.url = f"http://127.0.0.1:{server.server_port}/hooks"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield listener
        finally:
            server.shutdown()
            thread.join()
