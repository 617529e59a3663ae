"""The supervisor keeps real processes, small shells instead of servers and workers."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from saga.stack.holding import AlreadySupervisedError, supervised
from saga.stack.standing import down
from saga.stack.supervisor import Process, StartFailedError, Supervisor

pytestmark = pytest.mark.integration


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    supervisor = Supervisor(tmp_path)
    yield supervisor
    supervisor.stop()


def shell(folder: Path, name: str, script: str, **options: Any) -> Process:
    return Process(
        name=name,
        role=name,
        command=lambda: ["/bin/sh", "-c", script],
        environment={"PATH": os.environ["PATH"]},
        folder=folder,
        **options,
    )


def start(supervisor: Supervisor, *processes: Process) -> None:
    supervisor.start(processes, give_up=threading.Event())


def note(folder: Path, name: str) -> dict[str, Any]:
    state = json.loads((folder / "stack.json").read_text())
    found: dict[str, Any] = next(one for one in state["processes"] if one["name"] == name)
    return found


def comes_true(condition: Callable[[], bool], *, within: float = 10) -> bool:
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_what_a_dead_process_leaves_behind_is_ended_before_its_successor_starts(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    script = "sleep 1000 & echo $! > child; wait"
    start(supervisor, shell(tmp_path, "a", script, ready=lambda _: (tmp_path / "child").exists()))
    first = note(tmp_path, "a")["pid"]
    child = int((tmp_path / "child").read_text())
    assert lives(child)

    os.kill(first, signal.SIGKILL)

    assert comes_true(lambda: note(tmp_path, "a")["pid"] not in {None, first})
    assert not lives(child)


def test_the_pause_before_a_new_start_grows(tmp_path: Path, supervisor: Supervisor) -> None:
    start(supervisor, shell(tmp_path, "a", "date +%s.%N >> starts; sleep 0.1; exit 1"))

    def starts() -> list[float]:
        return [float(line) for line in (tmp_path / "starts").read_text().split()]

    assert comes_true(lambda: len(starts()) == 4)
    first, second, third = (b - a for a, b in zip(starts(), starts()[1:], strict=False))
    assert 0.5 < first < second < third
    assert third > 3 * first


def test_a_start_that_fails_tells_what_the_process_said(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    (tmp_path / "logs" / "a.log").write_text("of another day\n")

    with pytest.raises(StartFailedError, match="a ended with code 3 before it was ready") as error:
        start(supervisor, shell(tmp_path, "a", "echo no disk; exit 3", ready=lambda _: False))

    assert "no disk" in str(error.value)
    assert "of another day" not in str(error.value)


def test_a_process_that_never_gets_ready_is_ended(tmp_path: Path, supervisor: Supervisor) -> None:
    slow = shell(
        tmp_path,
        "a",
        "echo $$ > pid; sleep 1000",
        ready=lambda _: False,
        ready_within=timedelta(seconds=0.5),
    )

    with pytest.raises(StartFailedError, match="not ready within"):
        start(supervisor, slow)

    assert not lives(int((tmp_path / "pid").read_text()))


def test_a_higher_stage_is_gone_before_a_lower_one_is_asked_to_stop(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    script = (
        "trap 'sleep 0.2; echo {0} >> ends; exit' TERM; touch {0}; while :; do sleep 0.01; done"
    )
    start(
        supervisor,
        *(
            shell(
                tmp_path,
                name,
                script.format(name),
                stage=stage,
                ready=lambda _, name=name: (tmp_path / name).exists(),
            )
            for stage, name in enumerate(("database", "worker", "front"))
        ),
    )

    supervisor.stop()

    assert (tmp_path / "ends").read_text().split() == ["front", "worker", "database"]


def test_who_does_not_stop_when_asked_is_killed_with_his_children(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    script = "trap '' TERM; sleep 1000 & echo $! > child; while :; do sleep 0.01; done"
    stubborn = shell(
        tmp_path,
        "a",
        script,
        ready=lambda _: (tmp_path / "child").exists(),
        stop_within=timedelta(seconds=0.3),
    )
    start(supervisor, stubborn)
    family = [note(tmp_path, "a")["pid"], int((tmp_path / "child").read_text())]

    supervisor.stop()

    assert not any(lives(pid) for pid in family)


def test_one_supervisor_a_folder(tmp_path: Path, supervisor: Supervisor) -> None:
    assert supervised(tmp_path)
    with pytest.raises(AlreadySupervisedError):
        Supervisor(tmp_path)

    supervisor.stop()

    assert not supervised(tmp_path)
    Supervisor(tmp_path).stop()


def test_what_a_killed_supervisor_left_is_ended_but_never_a_stranger(tmp_path: Path) -> None:
    code = f"""
import os, threading, pathlib
from saga.stack.supervisor import Process, Supervisor
folder = pathlib.Path({str(tmp_path)!r})
script = "sleep 1000 & echo $! > child; wait"
process = Process(name="a", role="a", command=lambda: ["/bin/sh", "-c", script],
                  environment={{"PATH": os.environ["PATH"]}}, folder=folder,
                  ready=lambda _: (folder / "child").exists())
Supervisor(folder).start([process], give_up=threading.Event())
os.kill(os.getpid(), 9)
"""
    repository = str(Path(__file__).parents[2])
    subprocess.run(
        [sys.executable, "-c", code], check=False, env=os.environ | {"PYTHONPATH": repository}
    )
    left = [note(tmp_path, "a")["pid"], int((tmp_path / "child").read_text())]
    assert all(lives(pid) for pid in left)
    state = json.loads((tmp_path / "stack.json").read_text())
    # A number that has come to somebody else: ours, who started at another time.
    state["processes"].append(
        {"name": "b", "pid": os.getpid(), "created": 1.0, "stage": 0, "signal": signal.SIGTERM}
    )
    (tmp_path / "stack.json").write_text(json.dumps(state))

    assert down(tmp_path)

    assert not any(lives(pid) for pid in left)
