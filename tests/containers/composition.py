"""The stack of docker-compose.yml, under a name, with ports and with secrets of its own."""

import json
import os
import re
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx

PROJECT = Path(__file__).resolve().parents[2]
FILE = PROJECT / "docker-compose.yml"
EXAMPLE = PROJECT / ".env.example"

T = TypeVar("T")


def fill_in(example: str) -> dict[str, str]:
    """Do what a user does with .env.example: give every empty variable a secret."""
    said = dict(re.findall(r"^([A-Z_]+)=(.*)$", example, flags=re.MULTILINE))
    return {name: text or secrets.token_hex(24) for name, text in said.items()}


class Composition:
    def __init__(self, command: Sequence[str], image: str, folder: Path) -> None:
        self.name = f"sagatest{uuid4().hex[:10]}"
        self.variables = fill_in(EXAMPLE.read_text())
        self.secrets = {
            name: text for name, text in self.variables.items() if name != "FLOWER_USER"
        }
        ports = {name: str(free_port()) for name in ("API_PORT", "FLOWER_PORT", "SANDBOX_PORT")}
        self.variables |= ports | {"SAGA_IMAGE": image, "WORKER_CONCURRENCY": "2"}
        self.env_file = folder / ".env"
        self.env_file.write_text("".join(f"{n}={text}\n" for n, text in self.variables.items()))
        self._command = [
            *(*command, "--project-name", self.name, "--env-file", str(self.env_file)),
            *("--file", str(FILE)),
        ]
        # What the shell says goes before the file; these are the file's to say.
        self._environment = {
            name: text for name, text in os.environ.items() if name not in self.variables
        }

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._command, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            told = f"{' '.join(arguments)}: {done.stdout}{done.stderr}"
            logs = "" if "logs" in arguments else self.run("logs", "--no-color", "--tail=20")
            raise AssertionError(f"{told}\n{logs}")
        return done.stdout

    def up(self, *arguments: str) -> None:
        self.run("up", "--detach", "--no-build", *arguments)

    def remove(self) -> None:
        self.run("down", "--volumes", "--remove-orphans", "--timeout=5")

    def saga(self, *words: str) -> Any:
        """Run a ``saga`` command in the API's container, as the how-to says."""
        return json.loads(self.run("exec", "-T", "api", "saga", *words, "--json"))

    # What runs

    def containers(self, service: str | None = None) -> list[dict[str, Any]]:
        """Give what the engine knows of each container, the ended ones too."""
        labels = [f"label=com.docker.compose.project={self.name}"]
        if service is not None:
            labels.append(f"label=com.docker.compose.service={service}")
        filters = [word for label in labels for word in ("--filter", label)]
        found = docker("ps", "--all", "--quiet", *filters).split()
        return list(json.loads(docker("inspect", *found))) if found else []

    def health(self) -> dict[str, set[str]]:
        """Give, by service, in which state its containers are."""
        seen: dict[str, set[str]] = {}
        for container in self.containers():
            state = container["State"]
            word = state["Health"]["Status"] if "Health" in state else state["Status"]
            service = container["Config"]["Labels"]["com.docker.compose.service"]
            seen.setdefault(service, set()).add(word)
        return seen

    def until_well(self) -> None:
        """Wait until every process is healthy, and the migrations are done."""

        def well() -> bool:
            health = self.health()
            return health.pop("migrate") == {"exited"} and set().union(*health.values()) == {
                "healthy"
            }

        self.until(well, "all services are healthy", lambda: str(self.health()))

    def until(
        self,
        is_so: Callable[[], T],
        what: str,
        told: Callable[[], str] = str,
        *,
        within_seconds: float = 600,
    ) -> T:
        end = time.monotonic() + within_seconds
        while not (found := is_so()):
            if time.monotonic() > end:
                logs = self.run("logs", "--no-color", "--tail=30")
                raise AssertionError(f"it never came that {what}: {told()}\n{logs}")
            time.sleep(0.3)
        return found

    # What it answers

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.variables[f'{service.upper()}_PORT']}"

    def api(self) -> httpx.Client:
        key = {"Authorization": f"Bearer {self.variables['SAGA_API_KEY']}"}
        return httpx.Client(base_url=self.url("api"), headers=key, timeout=30, trust_env=False)

    def sandbox(self) -> httpx.Client:
        return httpx.Client(base_url=self.url("sandbox"), timeout=30, trust_env=False)


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
