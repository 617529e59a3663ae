"""The demonstration is real: it ends well, and leaves nothing behind."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance.world import World
from tests.apks import PACKAGE, TINY
from tests.conftest import PROJECT

COMMAND = [sys.executable, "-m", "saga.cli"]


def environment(folder: Path) -> dict[str, str]:
    """An environment whose temporary folder is the test's, so that what is left can be seen."""
    return {**os.environ, "TMPDIR": str(folder), "SAGA_DATA": str(folder / "other")}


def left_in(folder: Path) -> list[str]:
    """The processes that know of the folder, such as by their TMPDIR; the demonstration too."""
    left = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        words = process.info["cmdline"] or []
        known = [*words, *(process.info["environ"] or {}).values()]
        if any(str(folder) in text for text in known):
            left.append(" ".join(words))
    return left


def test_the_demonstration_ends_well_with_no_difference(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "demo", "--json"],
        cwd=PROJECT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["ok"], told["difference"], told["problems"]) == (True, "0.00", [])
    assert {saga["name"]: saga["status"] for saga in told["sagas"]} == {
        "all": "COMPLETED",
        "part": "COMPLETED",
        "wallet": "COMPLETED",
        "called back": "COMPLETED",
        "refused": "COMPENSATED",
        "killed": "COMPLETED",
        "cut off": "COMPENSATED",
        "through": "COMPLETED",
        "Boots": "COMPLETED",
        "Never boots": "COMPENSATED",
        "Deleted": "COMPLETED",
    }
    refunded = {payment["refundedAmount"] for payment in told["payments"]}
    assert refunded == {"100.00", "80.00", "25.50", "45.00", "0.00", "320.00"}
    # The worker was killed in its call: the provider was asked again, and refunded once.
    assert max(payment["requests"] or 0 for payment in told["payments"]) == 2
    [app] = told["apps"]
    assert (app["packageName"], app["status"], app["isLatest"]) == (PACKAGE, "available", True)
    assert app["readBack"] == {
        "sizeBytes": TINY.stat().st_size,
        "sha256": hashlib.sha256(TINY.read_bytes()).hexdigest(),
    }
    assert told["leftOver"] == {"records": 0, "objects": 0, "uploads": 0, "stagedFiles": 0}
    [device] = told["devices"]
    assert (device["name"], device["status"]) == ("Boots", "idle")
    assert told["devicesLeftOver"] == {"containers": 0, "ports": 0, "shares": 0, "records": 0}
    assert not list(tmp_path.iterdir())
    assert not left_in(tmp_path)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_demonstration_that_is_interrupted_leaves_nothing(
    tmp_path: Path, ending: signal.Signals
) -> None:
    demo = subprocess.Popen(
        [*COMMAND, "demo"],
        cwd=PROJECT,
        env=environment(tmp_path),
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 60
        while len(left_in(tmp_path)) < 6 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert left_in(tmp_path)

        demo.send_signal(ending)

        assert demo.wait(60) in {130, 143}
        assert not left_in(tmp_path)
        assert not list(tmp_path.iterdir())
    finally:
        demo.kill()
        demo.wait()


def test_the_doctor_finds_a_whole_stack_well(
    make_world: Callable[..., World], tmp_path: Path
) -> None:
    places = {
        "STAGING_FOLDER": str(tmp_path / "staging"),
        "OBJECT_STORE_FOLDER": str(tmp_path / "objects"),
    }
    (tmp_path / "objects").mkdir()
    world = make_world(settings=places)

    def diagnosis() -> dict[str, Any]:
        done = subprocess.run(
            [*COMMAND, "doctor", "--json"],
            cwd=PROJECT,
            env=world.environment | {"SAGA_API_URL": "http://127.0.0.1:8000"},
            capture_output=True,
            text=True,
            check=False,
        )
        told: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if told["ok"] else 1)
        return told

    well = diagnosis()

    assert well["ok"]
    # This world has no devices, and doctor says what that means.
    unset = [check["name"] for check in well["checks"] if check["level"] != "ok"]
    assert unset == ["container host"]
    world.kill("worker1")
    unwell = diagnosis()
    assert [check["name"] for check in unwell["checks"] if not check["ok"]] == ["lanes"]
