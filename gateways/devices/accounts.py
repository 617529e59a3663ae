"""Which container host devices run on."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from gateways.account import Form, is_address, is_open

_URL, _CERTS = "DEVICE_HOST_URL", "DEVICE_HOST_CERTS"
_FILES = ("ca.pem", "cert.pem", "key.pem")


@dataclass(frozen=True, kw_only=True)
class HostAccount:
    """A Docker Engine: where it listens, and the folder of what it is spoken to with by TLS."""

    url: str
    certs: Path | None = None

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Self | None:
        """Return the account, None if no variable of it is set. Raises AccountFaulty."""
        form = Form(given, [_URL], [], _CERTS)
        if form.is_blank:
            return None
        url, folder = form.text(_URL), form.given.get(_CERTS)
        certs = None if folder is None else Path(folder)
        if url and not _leads_somewhere(url):
            form.fault(
                _URL,
                "is not where a Docker Engine listens",
                "give unix:///var/run/docker.sock, or tcp://host:port",
            )
        elif url and certs is None:
            _look_at_plain(form, url)
        if certs is not None:
            _look_at_certs(form, certs, url)
        form.end()
        return cls(url=url, certs=certs)


def _look_at_plain(form: Form, url: str) -> None:
    scheme = urlsplit(url).scheme
    if scheme == "https":
        form.fault(_URL, "is spoken to by TLS", f"set {_CERTS}, too")
    elif scheme != "unix" and is_open(_http(url)):
        form.fault(
            _URL,
            "leads beyond a private network, where anybody could become root on that host",
            f"let the host speak TLS, and set {_CERTS}",
        )


def _look_at_certs(form: Form, certs: Path, url: str) -> None:
    missing = [name for name in _FILES if not os.access(certs / name, os.R_OK)]
    if missing:
        form.fault(
            _CERTS,
            f"has no {', '.join(missing)} that can be read",
            "name the folder that has them, and let this user read it",
        )
    if url and urlsplit(url).scheme not in {"tcp", "https"}:
        form.fault(_CERTS, "is set, and no TLS is spoken there", f"unset it, or correct {_URL}")


def _leads_somewhere(url: str) -> bool:
    scheme, _, rest = url.partition("://")
    if scheme == "unix":
        return rest.startswith("/")
    if scheme not in {"tcp", "http", "https"} or not is_address(_http(url)):
        return False
    parts = urlsplit(url)
    return parts.path in {"", "/"} and (scheme != "tcp" or parts.port is not None)


def _http(url: str) -> str:
    """The same place, in the one scheme that addresses are judged in."""
    return f"http://{url.partition('://')[2]}"
