"""An application served as uvicorn does, asked over HTTP, and the problems that it tells."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from httpx import Client, Response


@contextmanager
def served(app: FastAPI, **options: Any) -> Iterator[str]:
    """Serve the application as uvicorn does, and tell where."""
    config = uvicorn.Config(app, port=0, log_config=None, ws="none", lifespan="off", **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def calling(address: str, key: str | None = None) -> Client:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return Client(base_url=address, headers=headers, trust_env=False, timeout=30)


def assert_problem(response: Response, status: int, *fields: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail", "errors"} <= told.keys()
    assert told["status"] == status
    if fields:
        assert [error["field"] for error in told["errors"]] == list(fields)
    return told
