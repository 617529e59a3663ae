"""The simulated host, and what goes wrong with what it is asked."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import Response
from fastapi.responses import JSONResponse

from gateways.connection import HangUp
from gateways.devices.device import NoCompiler, binary
from gateways.devices.sandbox.containers import Containers
from gateways.devices.sandbox.faults import Fault, Faults, Kind, Operation

Done = Callable[[], Awaitable[Response]]


class Host:
    """A host and what it is told to do wrong."""

    def __init__(self, folder: Path) -> None:
        self.containers = Containers(folder)
        self.faults = Faults()
        self._folder = folder
        self._later: set[asyncio.Task[Response]] = set()

    async def device(self) -> Path:
        """The program that devices are. Raises NoCompiler."""
        return await asyncio.to_thread(binary, self._folder)

    async def open(self) -> None:
        """Start what ran when this host ended."""
        with contextlib.suppress(NoCompiler):
            await self.containers.start_again(await self.device())

    async def close(self) -> None:
        for task in self._later:
            task.cancel()
        await self.containers.end()

    async def asked(self, operation: Operation, name: str | None, do: Done) -> Response:
        """Do what was asked, or what goes wrong with it."""
        fault = self.faults.take(operation, name)
        match fault:
            case None:
                return await do()
            case Fault(kind=Kind.DOWN):
                return HangUp()
            case Fault(kind=Kind.ERROR_BEFORE):
                return said(500, "the simulated host was told to fail")
            case Fault(kind=Kind.ERROR_AFTER):
                await do()
                return said(500, "the simulated host was told to fail")
            case Fault(kind=Kind.HANG):
                await asyncio.sleep(fault.seconds)
                return HangUp()
            case Fault(kind=Kind.SLOW):
                await asyncio.sleep(fault.seconds)
                return await do()
            case Fault(kind=Kind.LATE):
                self._do_later(fault.seconds, do)
                return HangUp()
            case Fault(kind=Kind.REFUSE):
                return said(403, "the simulated host was told to refuse")
            case Fault(kind=Kind.IMAGE_MISSING):
                return said(404, "No such image: told to be missing")
            case _:
                return port_in_use(name or "")

    def _do_later(self, seconds: float, do: Done) -> None:
        async def late() -> Response:
            await asyncio.sleep(seconds)
            return await do()

        task = asyncio.create_task(late())
        self._later.add(task)
        task.add_done_callback(self._later.discard)


def port_in_use(name: str) -> Response:
    """What an engine says at a start whose port something else has."""
    return said(
        500,
        f"driver failed programming external connectivity on endpoint {name}: Bind failed: port is "
        "already allocated",
    )


def said(status: int, message: str) -> Response:
    """A refusal or an error, as an engine words it."""
    return JSONResponse({"message": message}, status_code=status)
