"""Which container host devices run on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from gateways.account import Form, is_address

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
        if url and not _leads_somewhere(url):
            form.fault(
                _URL,
                "is not where a Docker Engine listens",
                "give unix:///var/run/docker.sock, or tcp://host:port",
            )
        certs = None if folder is None else Path(folder)
        if certs is not None:
            missing = [name for name in _FILES if not (certs / name).is_file()]
            if missing:
                form.fault(_CERTS, f"has no {', '.join(missing)}", "name the folder that has them")
            if url and urlsplit(url).scheme not in {"tcp", "https"}:
                form.fault(_CERTS, "is set, and no TLS is spoken there", f"unset it, or see {_URL}")
        form.end()
        return cls(url=url, certs=certs)


def _leads_somewhere(url: str) -> bool:
    scheme, _, rest = url.partition("://")
    if scheme == "unix":
        return rest.startswith("/")
    return scheme in {"tcp", "http", "https"} and is_address(f"http://{rest}")
