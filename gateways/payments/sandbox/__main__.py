"""Serve the provider until SIGTERM or SIGINT."""

import argparse
import resource
from pathlib import Path

import uvicorn

from gateways.connection import SandboxProtocol
from gateways.payments.sandbox.books import Books
from gateways.payments.sandbox.keys import key_ring
from gateways.payments.sandbox.server import sandbox


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m gateways.payments.sandbox",
        description="A payment provider of our own to run and test against.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address; 127.0.0.1 unless given")
    parser.add_argument("--port", type=int, required=True, help="the port")
    parser.add_argument("--books", type=Path, required=True, help="the SQLite file of its books")
    parser.add_argument("--keys", type=Path, help="the folder of its keys; beside the books")
    arguments = parser.parse_args()
    # Before it listens: who sees it answer may read them.
    keys = key_ring(arguments.keys or arguments.books.with_name("keys"))

    _allow_many_connections()
    uvicorn.run(
        sandbox(Books(arguments.books), keys),
        host=arguments.host,
        port=arguments.port,
        http=SandboxProtocol,
        ws="none",
        access_log=False,
        log_level="warning",
        # Longer than clients keep an idle connection, so that it is they who close it:
        # the other way round a request can meet the closing and be lost.
        timeout_keep_alive=75,
        # Held requests must not hold up the end.
        timeout_graceful_shutdown=1,
    )


def _allow_many_connections() -> None:
    """Raise the limit of open files as far as we may: every held request is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if most == resource.RLIM_INFINITY else min(most, 65536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


if __name__ == "__main__":
    main()
