"""The simulated host's HTTP server: the part of the Docker Engine API that devices need.

What it answers is what an engine answers (docs.docker.com/reference/api/engine), word for word
where anybody reads it. What steers it is under /control.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from gateways.devices.device import NoCompiler
from gateways.devices.sandbox.containers import (
    Gone,
    InUse,
    PortInUse,
    Record,
    environment_of,
)
from gateways.devices.sandbox.descriptions import inspected, listed, version
from gateways.devices.sandbox.faults import Fault, Operation
from gateways.devices.sandbox.host import Host, port_in_use, said

_ADB = "5555/tcp"
_IMAGES = ("celery-sagas-device", "redroid/redroid")


def simulated_host(folder: Path) -> FastAPI:
    """Return the host whose containers are kept in a folder; at its end their processes end."""
    host = Host(folder)

    @contextlib.asynccontextmanager
    async def open_hours(_: FastAPI) -> AsyncIterator[None]:
        await host.open()
        try:
            yield
        finally:
            await host.close()

    app = FastAPI(title="Simulated container host", lifespan=open_hours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.include_router(_control(host))
    # Clients ask with a version in front, but for what tells them which one.
    app.include_router(_engine(host))
    app.include_router(_engine(host), prefix="/v{version}")
    return app


def _engine(host: Host) -> APIRouter:
    routes, containers = APIRouter(), host.containers

    @routes.api_route("/_ping", methods=["GET", "HEAD"])
    async def ping() -> Response:
        return Response("OK", media_type="text/plain", headers={"Api-Version": "1.41"})

    @routes.get("/version")
    async def show_version() -> Response:
        return JSONResponse(version())

    @routes.get("/images/{image:path}/json")
    async def inspect_image(image: str) -> Response:
        if not _is_known(image):
            return said(404, f"No such image: {image}")
        try:
            await host.device()
        except NoCompiler as none:
            return said(404, f"No such image: {image}: {none}")
        return JSONResponse({"Id": f"sha256:{image}", "RepoTags": [image], "Config": {}})

    @routes.post("/images/create")
    async def create_image() -> Response:
        return said(400, "the simulated host has the image of the minimal device, and no other")

    @routes.get("/containers/json")
    async def list_containers(request: Request) -> Response:
        every = request.query_params.get("all", "0") in {"1", "true", "True"}
        filters = json.loads(request.query_params.get("filters", "{}"))

        async def do() -> Response:
            found = [each for each in containers.all() if every or each.state == "running"]
            return JSONResponse([listed(each) for each in found if _passes(each, filters)])

        return await host.asked(Operation.LIST, None, do)

    @routes.post("/containers/create")
    async def create(request: Request, name: str) -> Response:
        wanted = await request.json()

        async def do() -> Response:
            if not _is_known(wanted["Image"]):
                return said(404, f"No such image: {wanted['Image']}")
            try:
                await host.device()
            except NoCompiler as none:
                return said(400, str(none))
            [bound] = wanted["HostConfig"]["PortBindings"][_ADB]
            try:
                made = containers.create(
                    name=name,
                    image=wanted["Image"],
                    labels=wanted.get("Labels") or {},
                    command=wanted.get("Cmd") or [],
                    environment=environment_of(wanted.get("Env") or []),
                    address=bound.get("HostIp") or "0.0.0.0",  # noqa: S104 - as an engine does
                    port=int(bound["HostPort"]),
                    boot=host.faults.take(Operation.BOOT, name),
                )
            except InUse as taken:
                return said(
                    409,
                    f'Conflict. The container name "/{name}" is already in use by container '
                    f'"{taken.id}". You have to remove (or rename) that container to be able to '
                    "reuse that name.",
                )
            return JSONResponse({"Id": made.id, "Warnings": []}, status_code=201)

        return await host.asked(Operation.CREATE, name, do)

    @routes.get("/containers/{container}/json")
    async def inspect(container: str) -> Response:
        async def do(found: Record) -> Response:
            return JSONResponse(inspected(found))

        return await _of_one(host, Operation.INSPECT, container, do)

    @routes.post("/containers/{container}/start")
    async def start(container: str) -> Response:
        async def do(found: Record) -> Response:
            try:
                is_new = await containers.start(found, await host.device())
            except PortInUse:
                return port_in_use(found.name)
            return Response(status_code=204 if is_new else 304)

        return await _of_one(host, Operation.START, container, do)

    @routes.post("/containers/{container}/stop")
    async def stop(container: str, t: float = 10) -> Response:
        async def do(found: Record) -> Response:
            was_running = await containers.stop(found, within_seconds=t)
            return Response(status_code=204 if was_running else 304)

        return await _of_one(host, Operation.STOP, container, do)

    @routes.delete("/containers/{container}")
    async def remove(request: Request, container: str) -> Response:
        force = request.query_params.get("force", "0") in {"1", "true", "True"}

        async def do(found: Record) -> Response:
            if found.state == "running" and not force:
                return said(409, f"You cannot remove a running container {found.id}.")
            await containers.remove(found)
            return Response(status_code=204)

        return await _of_one(host, Operation.REMOVE, container, do)

    return routes


async def _of_one(
    host: Host, operation: Operation, container: str, do: Callable[[Record], Awaitable[Response]]
) -> Response:
    """Ask something of the container that was named, if it is there when it is its turn."""
    try:
        name = host.containers.find(container).name
    except Gone:
        name = container

    async def on_it() -> Response:
        try:
            return await do(host.containers.find(container))
        except Gone:
            return said(404, f"No such container: {container}")

    return await host.asked(operation, name, on_it)


def _control(host: Host) -> APIRouter:
    control = APIRouter()

    @control.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @control.get("/control/books")
    async def show_books() -> dict[str, Any]:
        return {
            "containers": [
                each.model_dump(include={"id", "name", "state", "port", "labels"})
                for each in host.containers.all()
            ]
        }

    @control.post("/control/faults")
    async def order_fault(fault: Fault) -> Response:
        if fault.fault is not None:
            return said(422, fault.fault)
        host.faults.order(fault)
        return JSONResponse(fault.model_dump(mode="json", exclude_none=True))

    @control.delete("/control/faults")
    async def forget_faults() -> dict[str, list[Any]]:
        host.faults.forget()
        return {"faults": []}

    return control


def _is_known(image: str) -> bool:
    return image.partition(":")[0] in _IMAGES


def _passes(record: Record, filters: dict[str, Any]) -> bool:
    """Whether a container is one of those that the filters leave."""
    for label in filters.get("label", ()):
        key, has_value, value = label.partition("=")
        if key not in record.labels or (has_value and record.labels[key] != value):
            return False
    names = filters.get("name", ())
    return not names or any(name.strip("^/$") in record.name for name in names)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError), "it is only called for those"
    return said(422, "; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in error.errors()))
