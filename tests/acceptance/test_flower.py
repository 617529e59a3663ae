"""Flower beside a stack: it asks who one is, knows tasks by their sagas, and changes nothing."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.acceptance.test_stack import environment
from tests.conftest import PROJECT

pytestmark = pytest.mark.acceptance

CHANGES = (
    "worker/shutdown/WORKER",
    "worker/pool/restart/WORKER",
    "worker/pool/grow/WORKER?n=1",
    "worker/pool/shrink/WORKER?n=1",
    "worker/pool/autoscale/WORKER?min=1&max=2",
    "worker/queue/add-consumer/WORKER?queue=other",
    "worker/queue/cancel-consumer/WORKER?queue=saga.new",
    "task/apply/saga.recover",
    "task/async-apply/saga.recover",
    "task/send-task/saga.recover",
    "task/abort/TASK",
    "task/timeout/saga.recover?workername=WORKER&soft=1",
    "task/rate-limit/saga.recover?workername=WORKER&ratelimit=1",
    "task/revoke/TASK?terminate=true",
)


@dataclass
class Stack:
    """A stack of this application in a folder of its own."""

    data: Path

    def saga(self, *arguments: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "saga.cli", "--data", str(self.data), *arguments, "--json"],
            cwd=PROJECT,
            env=environment(flower=True),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def refund(self, payment: dict[str, Any]) -> str:
        asked = {"paymentId": payment["id"], "amount": payment["amount"], "reason": "broken"}
        saga_id: str = self.saga("start", "payment_refund", "--input", json.dumps(asked))["sagaId"]
        return saga_id

    def at_rest(self, saga_id: str) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while True:
            shown: dict[str, Any] = self.saga("show", saga_id)
            if shown["saga"]["completedAt"] is not None:
                return shown
            assert time.monotonic() < deadline, shown["why"]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path / "data")
    yield stack
    stack.saga("down")


def test_flower_knows_each_task_by_its_saga_and_may_change_nothing(stack: Stack) -> None:
    up = stack.saga("up", "--detach", "--workers", "1", "--concurrency", "1")
    well, refused = stack.saga("seed", "--payments", "2")["payments"]
    fault = {"operation": "refund", "kind": "refuse", "times": 1, "paymentNo": refused["paymentNo"]}
    httpx.post(f"{up['sandboxUrl']}/control/faults", json=fault).raise_for_status()
    shown = [stack.at_rest(stack.refund(payment)) for payment in (well, refused)]
    login = ("admin", up["apiKey"])

    assert [each["saga"]["status"] for each in shown] == ["COMPLETED", "COMPENSATED"]
    with httpx.Client(base_url=up["flowerUrl"], trust_env=False, timeout=30) as flower:
        for path in ("/", "/tasks", "/api/tasks", "/api/workers", "/task/x"):
            assert flower.get(path).status_code == 401, path
        assert flower.get("/api/tasks", auth=("admin", "guessed")).status_code == 401

        tasks = until_all_known(flower, login, shown)
        for each in shown:
            saga_id = each["saga"]["sagaId"]
            for event in each["events"]:
                if event["taskId"] is not None and event["kind"] in {"step_done", "completed"}:
                    task = tasks[event["taskId"]]
                    assert task["name"] == event["step"]
                    assert saga_id in task["args"]
                    page = flower.get(f"/task/{event['taskId']}", auth=login)
                    assert saga_id in page.text
        [undone] = [event for event in shown[1]["events"] if event["kind"] == "compensated"]
        back = flower.get(f"/api/task/info/{undone['taskId']}", auth=login).json()
        assert back["name"] == "payment_refund.restore_payment_status"
        assert shown[1]["saga"]["sagaId"] in back["args"]

        worker = next(event["worker"] for event in shown[0]["events"] if event["taskId"])
        for change in CHANGES:
            path = change.replace("WORKER", worker).replace("TASK", next(iter(tasks)))
            assert flower.post(f"/api/{path}", json={"args": []}).status_code == 401, path
            answer = flower.post(f"/api/{path}", auth=login, json={"args": []})
            assert (answer.status_code, answer.text) == (403, "Read only mode is enabled"), path

    with httpx.Client(base_url=up["apiUrl"], trust_env=False, timeout=30) as console:
        console.post("/console/login", data={"key": up["apiKey"]})
        task_id = next(event["taskId"] for event in shown[0]["events"] if event["taskId"])
        page = console.get(f"/console/sagas/{shown[0]['saga']['sagaId']}")
        assert f'href="{up["flowerUrl"]}/task/{task_id}"' in page.text
    command = " ".join(psutil.Process(up["pids"]["flower"]).cmdline())
    assert up["apiKey"] not in command
    assert up["apiKey"] not in (stack.data / "logs" / "flower.log").read_text()


def until_all_known(
    flower: httpx.Client, login: tuple[str, str], shown: list[dict[str, Any]]
) -> dict[str, Any]:
    """Flower's tasks, once it has been told of all of these sagas: events come when they come."""
    wanted = {event["taskId"] for each in shown for event in each["events"] if event["taskId"]}
    deadline = time.monotonic() + 30
    while True:
        tasks: dict[str, Any] = flower.get("/api/tasks?limit=1000", auth=login).json()
        if wanted <= tasks.keys():
            return tasks
        assert time.monotonic() < deadline, wanted - tasks.keys()
        time.sleep(0.2)
