"""Who we are to somebody else's system: read from settings, judged without calling anybody.

What is given is what the settings say by variable name. A secret `NAME` may instead stand in the
file that `NAME_FILE` names, which is read once. No secret is ever part of a `Fault`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

_LARGEST_FILE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Fault:
    """What is wrong with one variable, and what to do: one sentence."""

    variable: str
    detail: str
    advice: str

    def __str__(self) -> str:
        return f"{self.variable} {self.detail}: {self.advice}"


class AccountFaulty(Exception):
    """An account is set up by half, or wrongly; `faults` has all that is wrong."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(map(str, self.faults)))


class Form:
    """What is given of one account; collects what is wrong with it."""

    def __init__(
        self, given: Mapping[str, str], texts: Iterable[str], secrets: Iterable[str], url: str
    ) -> None:
        secrets = list(secrets)
        names = [*texts, *secrets, *(f"{name}_FILE" for name in secrets), url]
        self.given = {name: given[name].strip() for name in names if given.get(name, "").strip()}
        self._faults: list[Fault] = []

    @property
    def is_blank(self) -> bool:
        return not self.given

    def fault(self, variable: str, detail: str, advice: str) -> None:
        self._faults.append(Fault(variable, detail, advice))

    def text(self, variable: str) -> str:
        if variable not in self.given:
            self.fault(variable, "is not set", f"set it, as {self._others(variable)}")
        return self.given.get(variable, "")

    def secret(self, variable: str) -> str:
        """Return the secret, without the white space around it; "" after a fault."""
        file_variable = f"{variable}_FILE"
        match self.given.get(variable), self.given.get(file_variable):
            case None, None:
                self.fault(
                    variable,
                    "is not set",
                    f"set it or {file_variable}, as {self._others(variable)}",
                )
            case str(), str():
                self.fault(variable, f"and {file_variable} are both set", "keep one of them")
            case str(text), None:
                return text
            case None, str(name):
                return self._contents(file_variable, Path(name))
        return ""

    def url(self, variable: str, default: str) -> str:
        text = self.given.get(variable, default)
        if not is_address(text):
            self.fault(
                variable, "is not an http or https address", f"correct it, such as {default}"
            )
        return text

    def end(self) -> None:
        """Raise AccountFaulty if anything was wrong."""
        if self._faults:
            raise AccountFaulty(self._faults)

    def _others(self, variable: str) -> str:
        """What else of the account is set: why this must be, too."""
        return f"{next(name for name in self.given if name != variable)} is"

    def _contents(self, variable: str, file: Path) -> str:
        # The file is not named: who confuses the two variables gives the secret as its name.
        try:
            with file.open("rb") as stream:
                text = stream.read(_LARGEST_FILE_BYTES + 1)
        except OSError as error:
            self.fault(
                variable,
                f"names a file that cannot be read ({error.strerror})",
                "correct it, or let this user read the file",
            )
            return ""
        contents = "" if len(text) > _LARGEST_FILE_BYTES else text.decode(errors="ignore").strip()
        if not contents:
            self.fault(variable, "names a file that holds no secret", "correct it")
        return contents


def is_address(url: str) -> bool:
    """Whether a text is an http or https address, without a query, a fragment or a user."""
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    more = parts.query or parts.fragment or parts.username
    return is_whole and parts.scheme in {"http", "https"} and not more


def is_loopback(url: str) -> bool:
    """Whether an address leads to this machine, as far as can be told without asking for it."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_open(url: str) -> bool:
    """Whether what is sent there can be read on the way: http, beyond this or a private network."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        is_near = ip_address(host).is_private
    except ValueError:
        # A name without a dot is one of a private network, such as a container's.
        is_near = "." not in host
    return parts.scheme == "http" and not is_near
