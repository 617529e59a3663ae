"""A customer's process that sends requests at a steady rate, whether or not the answers come.

``python -m benchmarks.offering < what`` reads one JSON object: ``port`` of an API on this machine,
its ``apiKey``, the ``rate`` per second, and ``requests`` with a ``path``, an ``idempotencyKey`` and
a ``body`` each. It prints the answers and how long each took. It speaks HTTP by hand over
connections that stay open: a client as comfortable as httpx would use as much CPU as the server
that is measured.
"""

import asyncio
import gc
import json
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

_CONNECTIONS = 10
_PATIENCE_SECONDS = 120


class Answer:
    """What came back for a request, and when, by ``time.monotonic``, which is the loop's clock."""

    def __init__(self, *, due: float) -> None:
        self.due = due
        self.sent = 0.0
        self.ended = 0.0
        self.status = 0
        self.body = b""


class Line(asyncio.Protocol):
    """One connection, which carries one request at a time."""

    def __init__(self, offering: "Offering") -> None:
        self._offering = offering
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self, request: bytes, answer: Answer) -> None:
        assert self._transport is not None
        self._answer, self._read = answer, b""
        answer.sent = time.monotonic()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, gap, body = self._read.partition(b"\r\n\r\n")
        if not gap or self._answer is None or len(body) < _length(head):
            return
        self._answer.ended = time.monotonic()
        self._answer.status = int(head.split(b" ", 2)[1])
        self._answer.body = body
        self._answer = None
        self._offering.has_answer(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._offering.lose(self, self._answer)


def _length(head: bytes) -> int:
    """Of the body. Every answer here says it."""
    found = (line.partition(b":") for line in head.lower().split(b"\r\n"))
    return next(int(value) for name, _, value in found if name == b"content-length")


class Offering:
    """Sends each request when it is due, over a connection that is free or a new one."""

    def __init__(self, *, port: int, requests: Sequence[bytes], rate: float) -> None:
        self._port = port
        self._requests = requests
        self._rate = rate
        # The one that rested longest goes first, so that none rests until the server ends it.
        self._free: deque[Line] = deque()
        self._missing = len(requests)
        self._done = asyncio.Event()
        self._connecting: set[asyncio.Task[None]] = set()

    async def run(self) -> list[Answer]:
        """All answers; of a request whose connection was lost, one with status 0."""
        for _ in range(_CONNECTIONS):
            self._free.append(await self._connect())
        loop = asyncio.get_running_loop()
        began = time.monotonic() + 0.1
        answers = []
        for number, request in enumerate(self._requests):
            answer = Answer(due=began + number / self._rate)
            answers.append(answer)
            loop.call_at(answer.due, self._send, request, answer)
        last = len(self._requests) / self._rate
        await asyncio.wait_for(self._done.wait(), last + _PATIENCE_SECONDS)
        return answers

    def _send(self, request: bytes, answer: Answer) -> None:
        if self._free:
            self._free.popleft().ask(request, answer)
            return
        task = asyncio.ensure_future(self._send_over_new(request, answer))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _send_over_new(self, request: bytes, answer: Answer) -> None:
        line = await self._connect()
        line.ask(request, answer)

    async def _connect(self) -> Line:
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(lambda: Line(self), "127.0.0.1", self._port)
        return line

    def has_answer(self, line: Line) -> None:
        self._free.append(line)
        self._count()

    def lose(self, line: Line, answer: Answer | None) -> None:
        if line in self._free:
            self._free.remove(line)
        if answer is not None:
            answer.ended = time.monotonic()
            self._count()

    def _count(self) -> None:
        self._missing -= 1
        if not self._missing:
            self._done.set()


def request_bytes(request: Mapping[str, Any], api_key: str) -> bytes:
    """The whole request as it is sent."""
    body = json.dumps(request["body"]).encode()
    head = (
        f"POST {request['path']} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {api_key}\r\nIdempotency-Key: {request['idempotencyKey']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def offer(what: Mapping[str, Any]) -> dict[str, Any]:
    requests = [request_bytes(each, what["apiKey"]) for each in what["requests"]]
    offering = Offering(port=what["port"], requests=requests, rate=what["rate"])
    # What is kept is kept until the end; looking through it would only make us late.
    gc.freeze()
    cpu = time.process_time()
    answers = await offering.run()
    cpu = time.process_time() - cpu
    return {
        "answers": [[answer.status, answer.body.decode()] for answer in answers],
        "latencies": [answer.ended - answer.sent for answer in answers],
        "lateness": [answer.sent - answer.due for answer in answers],
        "seconds": max(answer.ended for answer in answers) - answers[0].sent,
        "cpuSeconds": cpu,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(offer(json.load(sys.stdin)))))
