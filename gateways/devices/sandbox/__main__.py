"""Serve as a container host until SIGTERM or SIGINT."""

import argparse
from pathlib import Path

import uvicorn

from gateways.connection import SandboxProtocol
from gateways.devices.sandbox.server import simulated_host


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m gateways.devices.sandbox",
        description="A container host of our own, whose containers are minimal devices.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address; 127.0.0.1 unless given")
    parser.add_argument("--port", type=int, required=True, help="the port")
    parser.add_argument("--data", type=Path, required=True, help="the folder of its containers")
    arguments = parser.parse_args()
    uvicorn.run(
        simulated_host(arguments.data),
        host=arguments.host,
        port=arguments.port,
        http=SandboxProtocol,
        ws="none",
        access_log=False,
        log_level="warning",
        # Longer than clients keep an idle connection, so that it is they who close it.
        timeout_keep_alive=75,
        # Held requests must not hold up the end.
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
