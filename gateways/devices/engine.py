"""A Docker Engine as a container host, by its API (docs.docker.com/reference/api/engine)."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import requests
from docker import APIClient
from docker.errors import APIError, DockerException
from docker.tls import TLSConfig
from urllib3.exceptions import HTTPError, NewConnectionError

from gateways.devices.accounts import HostAccount
from gateways.devices.host import (
    MANAGED,
    Container,
    HostAway,
    HostError,
    HostRefused,
    ImageMissing,
    NameTaken,
    NoSuchContainer,
    PortTaken,
    Wanted,
)

ADB = 5555
"""Where a device listens inside its container."""
_API_VERSION = "1.41"  # of Docker 20.10, and of all that came since
_STOP_WITHIN_SECONDS = 5
_MEGABYTE = 1024 * 1024
_ERROR = 500
_PORT_IN_USE = re.compile(r"already allocated|address already in use|failed to bind host port")


class DockerHost:
    """A Docker Engine. Each request has to end within ``timeout``."""

    def __init__(self, account: HostAccount, timeout: timedelta) -> None:
        self.name = f"the Docker Engine at {account.url}"
        self._account = account
        self._seconds = timeout.total_seconds()

    def create(self, wanted: Wanted) -> Container:
        try:
            with self._understood(wanted.name):
                made = self._client.create_container(
                    wanted.image,
                    command=list(wanted.command),
                    environment=dict(wanted.environment),
                    labels=dict(wanted.labels),
                    name=wanted.name,
                    ports=[ADB],
                    host_config=self._client.create_host_config(**_options(wanted)),
                )
        except NoSuchContainer:
            raise ImageMissing(wanted.image) from None
        except _Conflict:
            raise NameTaken(wanted.name) from None
        return Container(
            id=made["Id"],
            name=wanted.name,
            labels=wanted.labels,
            state="created",
            created_at=datetime.now(UTC),
            port=wanted.port,
        )

    def start(self, container_id: str) -> None:
        try:
            with self._understood(container_id):
                self._client.start(container_id)
        except HostAway as away:
            # The engine's own word for it is a fault of the server.
            if not _PORT_IN_USE.search(str(away)):
                raise
            raise PortTaken(str(away)) from None
        except _Conflict:
            raise NoSuchContainer(container_id) from None  # it is being removed

    def find(self, name: str) -> Container | None:
        try:
            with self._understood(name):
                seen = self._client.inspect_container(name)
        except NoSuchContainer:
            return None
        # The engine takes the beginning of an id for a name, too.
        found = _container(seen)
        return found if found.name == name else None

    def stop(self, name_or_id: str) -> None:
        try:
            with self._understood(name_or_id):
                self._client.stop(name_or_id, timeout=_STOP_WITHIN_SECONDS)
        except NoSuchContainer:
            pass

    def remove(self, name_or_id: str) -> None:
        try:
            with self._understood(name_or_id):
                self._client.remove_container(name_or_id, v=True, force=True)
        except (NoSuchContainer, _Conflict):
            pass  # gone, or on its way

    def containers(self) -> Iterator[Container]:
        labels = {"label": f"{MANAGED}=true"}
        with self._understood("any"):
            listed = self._client.containers(all=True, filters=labels)
        for one in listed:
            # Of one that is being removed the name may be gone already.
            name = next(iter(one["Names"] or ()), "").removeprefix("/")
            yield Container(
                id=one["Id"],
                name=name,
                labels=one["Labels"] or {},
                state=one["State"],
                created_at=datetime.fromtimestamp(one["Created"], UTC),
            )

    def has_image(self, image: str) -> bool:
        try:
            with self._understood(image):
                self._client.inspect_image(image)
        except NoSuchContainer:
            return False
        return True

    def check(self) -> None:
        with self._understood("it"):
            self._client.ping()

    @cached_property
    def _client(self) -> Any:
        certs = self._account.certs
        tls = certs is not None and TLSConfig(
            ca_cert=str(certs / "ca.pem"),
            client_cert=(str(certs / "cert.pem"), str(certs / "key.pem")),
        )
        client = APIClient(self._account.url, version=_API_VERSION, timeout=self._seconds, tls=tls)
        client.trust_env = False  # no proxy leads to a container host
        return client

    @contextmanager
    def _understood(self, what: str) -> Iterator[None]:
        """Tell the SDK's errors in our words; what was not found is ``what``."""
        try:
            yield
        except APIError as error:
            raise self._answered(error, what) from error
        except (requests.RequestException, HTTPError, DockerException, OSError) as error:
            sent = not any(isinstance(cause, _NOT_SENT) for cause in _causes(error))
            raise HostAway(
                f"{self.name} does not answer ({type(error).__name__}): start it, or correct "
                "DEVICE_HOST_URL",
                sent=sent,
            ) from error
        except ValueError as error:  # what came is no JSON
            raise HostAway(f"{self.name} does not answer as a Docker Engine does") from error

    def _answered(self, error: APIError, what: str) -> HostError:
        status, said = error.status_code or _ERROR, str(error.explanation or error)
        match status:
            case _ if status >= _ERROR:
                return HostAway(f"{self.name} answered {status}: {said}")
            case 404:
                return NoSuchContainer(what)
            case 409:
                return _Conflict(str(status), said)
            case _:
                return HostRefused(str(status), f"{self.name} refused: {said}")


class _Conflict(HostRefused):
    """The engine answered 409; what that means depends on what it was asked."""


_NOT_SENT = (ConnectionRefusedError, FileNotFoundError, PermissionError, NewConnectionError)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that led to it, also what libraries only name in their arguments."""
    left: list[BaseException] = [error]
    while left:
        cause = left.pop()
        yield cause
        named = (*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__)
        left.extend(each for each in named if isinstance(each, BaseException))


def _options(wanted: Wanted) -> dict[str, Any]:
    """What the engine calls a container's host configuration."""
    options: dict[str, Any] = {
        "port_bindings": {ADB: (wanted.bind_address, wanted.port)},
        "privileged": wanted.privileged,
        # Back with its engine; not after somebody stopped it.
        "restart_policy": {"Name": "unless-stopped"},
    }
    if wanted.cpu is not None:
        options["nano_cpus"] = wanted.cpu * 10**9
    if wanted.memory_mb is not None:
        options["mem_limit"] = wanted.memory_mb * _MEGABYTE
    if wanted.storage_mb is not None:
        options["storage_opt"] = {"size": f"{wanted.storage_mb}m"}
    return options


def _container(seen: dict[str, Any]) -> Container:
    """What ``inspect`` tells of a container."""
    state, bindings = seen["State"], seen["HostConfig"].get("PortBindings") or {}
    bound = [int(each["HostPort"]) for each in bindings.get(f"{ADB}/tcp") or () if each["HostPort"]]
    return Container(
        id=seen["Id"],
        name=seen["Name"].removeprefix("/"),
        labels=seen["Config"].get("Labels") or {},
        state=state["Status"],
        created_at=_moment(seen["Created"]) or datetime.now(UTC),
        started_at=_moment(state.get("StartedAt", "")),
        exit_code=state.get("ExitCode"),
        port=bound[0] if bound else None,
    )


_NEVER = "0001-01-01"
_FRACTION = re.compile(r"\.(\d{6})\d*")


def _moment(text: str) -> datetime | None:
    """A time as the engine writes it, in nanoseconds."""
    if not text or text.startswith(_NEVER):
        return None
    return datetime.fromisoformat(_FRACTION.sub(r".\1", text))
