"""A Docker engine of one test, that it may start anew: in a network of its own, beside others."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException

from tests.containers.conftest import missing

_READY_WITHIN_SECONDS = 60


class OwnEngine:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.url = f"unix://{folder}/engine.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        folder = self._folder
        options = [
            *("--host", self.url, "--pidfile", f"{folder}/engine.pid"),
            *("--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"),
        ]
        # A network of its own has no loopback that is up.
        script = 'ip link set lo up && exec dockerd "$@"'
        # Should the test be killed, the engine ends all the same.
        alone = ["setpriv", "--pdeathsig", "TERM", "unshare", "--net"]
        with (folder / "engine.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*alone, "sh", "-c", script, "engine", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        ends_at = time.monotonic() + _READY_WITHIN_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > ends_at:
                said = (folder / "engine.log").read_text()[-2000:]
                self.end()
                pytest.fail(f"the engine did not start: {said}", pytrace=False)
            time.sleep(0.1)

    def restart(self) -> None:
        self.end()
        self.start()

    def end(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)
            self._process = None

    def clean(self) -> None:
        """Let nothing be mounted in its folder any more."""
        mounts = Path("/proc/mounts").read_text().splitlines()
        ours = [line.split()[1] for line in mounts if line.split()[1].startswith(str(self._folder))]
        for place in sorted(ours, reverse=True):
            subprocess.run(["umount", "--lazy", place], check=False)

    def _answers(self) -> bool:
        if not (self._folder / "engine.sock").exists():
            return False
        try:
            with docker.APIClient(self.url, version="1.41", timeout=5) as client:
                return bool(client.ping())
        except (DockerException, OSError):
            return False


@contextmanager
def own_engine() -> Iterator[OwnEngine]:
    if os.geteuid() != 0 or not all(map(shutil.which, ("dockerd", "setpriv", "unshare", "ip"))):
        missing("no engine can be started here: it takes root, dockerd, setpriv, unshare and ip")
    # The path of a socket has to be short, which those of pytest's folders are not.
    folder = Path(tempfile.mkdtemp())
    made = OwnEngine(folder)
    try:
        made.start()
        yield made
        with docker.APIClient(made.url) as client:
            for each in client.containers(all=True):
                client.remove_container(each["Id"], force=True)
    finally:
        made.end()
        made.clean()
        shutil.rmtree(folder)
