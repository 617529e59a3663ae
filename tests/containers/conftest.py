"""A Docker engine, and the application's image in it.

The engine is the one that DOCKER_HOST or Docker's own defaults name. Where none answers these
tests are skipped, but not in CI. Images that are built upon are docker-compose.yml's, or those
that PYTHON_IMAGE, POSTGRES_IMAGE and REDIS_IMAGE name: `ops/ci/images.sh` makes such.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.containers.composition import Composition

PROJECT = Path(__file__).resolve().parents[2]


def missing(what: str) -> None:
    """End the test: fail it in CI, skip it elsewhere."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}; CI has one: ops/ci/engine.sh", pytrace=False)
    pytest.skip(what)


@pytest.fixture(scope="session")
def compose_command() -> list[str]:
    """Give what starts Docker Compose, of either kind. It needs no engine to look at a file."""
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    if shutil.which("docker") and not _fails("docker", "compose", "version"):
        return ["docker", "compose"]
    missing("there is no docker-compose")
    raise AssertionError


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine answers."""
    if shutil.which("docker") is None:
        missing("there is no docker command")
    if said := _fails("docker", "version", "--format", "{{.Server.Version}}"):
        missing(f"no Docker engine answers: {said.strip()}")


@pytest.fixture(scope="session")
def image(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:  # noqa: ARG001
    """Build the application's image, and give its name."""
    name = f"celery-sagas-test-{uuid4().hex[:12]}"
    base = os.environ.get("PYTHON_IMAGE")
    arguments = ["--build-arg", f"PYTHON_IMAGE={base}"] if base else []
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    with (shared / "image.lock").open("w") as lock:
        # Whoever comes second finds every layer made.
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = _fails("docker", "build", "--tag", name, *arguments, str(PROJECT))
    assert not said, said
    yield name
    subprocess.run(["docker", "image", "rm", name], check=False, capture_output=True)


@pytest.fixture
def stack(compose_command: list[str], image: str, tmp_path: Path) -> Iterator[Composition]:
    """Give docker-compose.yml, not up yet, under a name of its own; nothing is left at the end."""
    composition = Composition(compose_command, image, tmp_path)
    try:
        yield composition
    finally:
        composition.remove()


def _fails(*command: str) -> str:
    """Run a command; give the end of what it said when it failed, else nothing."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stdout + done.stderr)[-4000:] or "it failed"
