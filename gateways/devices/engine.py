"""A Docker Engine as a container host, by its API (docs.docker.com/reference/api/engine)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from docker import APIClient
from docker.errors import APIError, DockerException
from docker.tls import TLSConfig
from docker.utils import parse_repository_tag

from gateways.devices.accounts import HostAccount
from gateways.devices.answers import Asked, RemovalUnderWay, away, in_our_words, is_other_version
from gateways.devices.description import ADB, container_of, listed_container, options_of
from gateways.devices.host import (
    MANAGED,
    Container,
    HostAway,
    HostRefused,
    NoSuchContainer,
    Wanted,
)

# Every engine answers /version without one; what it says there is what is spoken from then on.
_ANY_VERSION = "1.41"
_MOST_GRACE_SECONDS = 5


class DockerHost:
    """A Docker Engine. No request waits longer than ``timeout`` for it to say something.

    Safe to create before a fork: it connects when it is first used.
    """

    def __init__(self, account: HostAccount, timeout: timedelta) -> None:
        self.name = f"the Docker Engine at {account.url}"
        self._account = account
        self._seconds = timeout.total_seconds()
        self._made: Any = None

    def create(self, wanted: Wanted) -> Container:
        with self._asked(Asked.CREATE, wanted.name, image=wanted.image) as engine:
            made = engine.create_container(
                wanted.image,
                command=list(wanted.command),
                environment=dict(wanted.environment),
                labels=dict(wanted.labels),
                name=wanted.name,
                ports=[ADB],
                host_config=engine.create_host_config(**options_of(wanted)),
                # Else this user's ~/.docker/config.json would put its proxies into every device.
                use_config_proxy=False,
            )
            return Container(
                id=made["Id"],
                name=wanted.name,
                labels=wanted.labels,
                state="created",
                created_at=datetime.now(UTC),
                port=wanted.port,
            )

    def start(self, container_id: str) -> None:
        with self._asked(Asked.START, container_id) as engine:
            engine.start(container_id)

    def find(self, name: str) -> Container | None:
        try:
            found = self._inspect(name)
        except NoSuchContainer:
            return None
        # The engine takes the beginning of an id for a name, too.
        return found if found.name == name else None

    def stop(self, name_or_id: str) -> None:
        # What the container has to end by itself; the SDK waits so much longer for an answer.
        grace_seconds = int(min(_MOST_GRACE_SECONDS, self._seconds / 2))
        try:
            with (
                self._asked(Asked.STOP, name_or_id) as engine,
                self._speaking(engine.api_version, self._seconds - grace_seconds) as hurried,
            ):
                hurried.stop(name_or_id, timeout=grace_seconds)
        except NoSuchContainer:
            pass

    def remove(self, name_or_id: str) -> None:
        try:
            with self._asked(Asked.REMOVE, name_or_id) as engine:
                engine.remove_container(name_or_id, v=True, force=True)
        except (NoSuchContainer, RemovalUnderWay):
            pass  # gone, or on its way

    def containers(self) -> Iterator[Container]:
        with self._asked(Asked.LOOK, "any") as engine:
            listed = engine.containers(all=True, filters={"label": f"{MANAGED}=true"})
            found = [listed_container(each) for each in listed]
        yield from found

    def has_image(self, image: str) -> bool:
        try:
            with self._asked(Asked.LOOK, image) as engine:
                engine.inspect_image(image)
        except NoSuchContainer:
            return False
        return True

    def image_labels(self, image: str) -> Mapping[str, str] | None:
        """What the image's maker wrote on it; None where there is no such image."""
        try:
            with self._asked(Asked.LOOK, image) as engine:
                return engine.inspect_image(image)["Config"].get("Labels") or {}
        except NoSuchContainer:
            return None

    def import_image(self, tar: bytes, *, image: str, changes: Sequence[str]) -> None:
        """Make an image of the files in a tar; ``changes`` are lines of a Dockerfile."""
        repository, tag = parse_repository_tag(image)
        with self._asked(Asked.LOOK, image) as engine:
            answer = engine.import_image_from_data(
                tar, repository=repository, tag=tag or "latest", changes=list(changes)
            )
            if "errorDetail" in answer:
                raise HostRefused("IMPORT", f"{self.name} did not take the image: {answer}")

    def check(self) -> None:
        with self._asked(Asked.LOOK, "it") as engine:
            if engine.ping() is not True:
                raise ValueError("it answers as something else does")

    def _inspect(self, name_or_id: str) -> Container:
        with self._asked(Asked.LOOK, name_or_id) as engine:
            return container_of(engine.inspect_container(name_or_id))

    @contextmanager
    def _asked(self, asked: Asked, what: str, *, image: str = "") -> Iterator[Any]:
        """Give what speaks to the engine, and tell its errors in our words."""
        try:
            yield self._client()
        except APIError as error:
            status = error.status_code or 0
            said = str(error.explanation or error)
            if is_other_version(status, said):
                self._made = None  # the engine was exchanged: the next call asks for its version
                raise HostAway(f"{self.name} speaks another version by now") from error
            raise in_our_words(self.name, asked, what, status, said, image=image) from error
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise HostAway(
                f"{self.name} does not answer as a Docker Engine does: see that DEVICE_HOST_URL "
                "leads to one"
            ) from error
        except (requests.RequestException, OSError) as error:
            raise away(self.name, error) from error
        except DockerException as error:
            raise HostRefused(
                "NOT_SPOKEN_TO",
                f"{self.name} cannot be spoken to ({error}): correct DEVICE_HOST_URL or "
                "DEVICE_HOST_CERTS",
            ) from error

    def _client(self) -> Any:
        if self._made is None:
            with self._speaking(_ANY_VERSION, self._seconds) as asking:
                version = asking.version(api_version=False)["ApiVersion"]
            self._made = self._speaking(version, self._seconds)
        return self._made

    def _speaking(self, version: str, seconds: float) -> Any:
        certs = self._account.certs
        tls = certs is not None and TLSConfig(
            ca_cert=str(certs / "ca.pem"),
            client_cert=(str(certs / "cert.pem"), str(certs / "key.pem")),
            verify=True,
        )
        client = APIClient(self._account.url, version=version, timeout=seconds, tls=tls)
        client.trust_env = False  # no proxy leads to a container host
        return client
