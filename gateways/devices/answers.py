"""What a Docker Engine's answers mean: decided from the answer alone."""

import re
import ssl
from collections.abc import Iterator
from enum import StrEnum

from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from gateways.devices.host import (
    HostAway,
    HostError,
    HostRefused,
    ImageMissing,
    NameTaken,
    NoSuchContainer,
    PortTaken,
)

_FIRST_ERROR = 500
_LONGEST = 300
# Asked in vain for now: too many requests, and a request that took too long.
_LATER = frozenset({408, 429})
# Anything on the way may answer 404; that there is none must be the engine's own word.
_NO_IMAGE = re.compile(r"no such image", re.IGNORECASE)
_NONE = re.compile(r"no such (container|image)", re.IGNORECASE)
_PORT_IN_USE = re.compile(
    r"port is already allocated|address already in use|failed to bind host port(?!.*cannot assign)",
    re.IGNORECASE,
)
# What was asked cannot be had on this host, though the engine may call it an error of its own.
_NEVER_HAD = {
    "STORAGE_LIMIT": (
        re.compile(r"storage-opt|storage opt|pquota", re.IGNORECASE),
        "set DEVICE_STORAGE_LIMIT=false, or keep the host's containers on xfs with pquota",
    ),
    "LIMITS": (
        re.compile(r"\bCPUs?\b|NanoCPUs|memory limit|cgroup", re.IGNORECASE),
        "ask for less, or set DEVICE_LIMITS=false",
    ),
    "PRIVILEGED": (
        re.compile(r"privileged|apply caps", re.IGNORECASE),
        "set DEVICE_PRIVILEGED=false, or let the host run privileged containers",
    ),
    "BIND_ADDRESS": (
        re.compile(r"cannot assign requested address", re.IGNORECASE),
        "set DEVICE_BIND_ADDRESS to an address of the container host",
    ),
}
# None of these can come after a request was sent.
_NOT_SENT = (
    *(ConnectionRefusedError, FileNotFoundError, PermissionError),
    *(NewConnectionError, ConnectTimeoutError, ssl.SSLCertVerificationError),
)


class RemovalUnderWay(HostError):
    """Somebody is removing the container already."""


class Asked(StrEnum):
    """What the engine was asked to do: its answers mean different things."""

    CREATE = "create"
    START = "start"
    STOP = "stop"
    REMOVE = "remove"
    LOOK = "look"


def in_our_words(
    host: str, asked: Asked, what: str, status: int, said: str, *, image: str = ""
) -> HostError:
    """The error that an answer of ``status`` and text comes to, for a container ``what``."""
    match asked, status:
        case Asked.CREATE, 404 if _NO_IMAGE.search(said):
            return ImageMissing(image)
        case Asked.CREATE, 409:
            return NameTaken(what)
        case _, 404 if _NONE.search(said):
            return NoSuchContainer(what)
        case Asked.START, 409 if "removal" in said:
            return NoSuchContainer(what)
        case Asked.REMOVE, 409 if "in progress" in said:
            return RemovalUnderWay(what)
        case Asked.START, _ if status >= _FIRST_ERROR and _PORT_IN_USE.search(said):
            return PortTaken(_line(said))
    if asked in {Asked.CREATE, Asked.START}:
        for code, (told, advice) in _NEVER_HAD.items():
            if told.search(said):
                return HostRefused(code, f"{host} refused ({_line(said)}): {advice}")
    if status >= _FIRST_ERROR or status in _LATER:
        return HostAway(f"{host} answered {status} ({_line(said)}): it may work again later")
    return HostRefused(
        str(status), f"{host} refused with {status} ({_line(said)}): correct DEVICE_… or the host"
    )


def is_other_version(status: int, said: str) -> bool:
    """Whether an engine says that it does not speak this version of its API."""
    return status == 400 and "client version" in said  # noqa: PLR2004


def away(host: str, error: Exception) -> HostAway:
    """What it means that no answer came."""
    causes = list(_causes(error))
    unsent = next((cause for cause in causes if isinstance(cause, _NOT_SENT)), None)
    insecure = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
    why = unsent or insecure or error
    match why:
        case ssl.SSLError():
            advice = "let DEVICE_HOST_CERTS be what it knows us by, and we it"
        case PermissionError():
            advice = "let this user open its socket"
        case _ if unsent is not None:
            advice = "start it, or correct DEVICE_HOST_URL"
        case _:
            advice = "see that it works"
    return HostAway(f"{host} does not answer ({type(why).__name__}): {advice}", sent=unsent is None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and those that libraries name in it.

    Not what was being handled when it came: that may be of another request.
    """
    left, seen = [error], set[int]()
    while left:
        cause = left.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        named = (*cause.args, getattr(cause, "reason", None))
        left.extend(each for each in named if isinstance(each, BaseException))


def _line(said: str) -> str:
    return " ".join(said.split())[:_LONGEST]
