"""docker-compose.yml on a real engine: refunds and uploads run, and a worker's death is borne."""

import json
from typing import Any

import httpx
import pytest

from tests.apks import TINY
from tests.containers.composition import Composition, docker

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800, method="signal")]

PIVOT = "payment_refund.call_provider_refund"
SERVICES = {"postgres", "redis", "migrate", "sandbox", "api", "worker", "recovery", "beat"} | {
    "flower"
}


# One test, for one stack: each step needs what the one before it left.
def test_the_composed_stack_runs_refunds_and_bears_the_death_of_its_worker(
    stack: Composition, image: str
) -> None:
    stack.up()
    stack.until_well()
    assert set(stack.health()) == SERVICES
    assert stack.saga("doctor")["ok"]
    first, second = stack.saga("seed", "--payments", "2")["payments"]

    _a_refund_over_http_completes(stack, first)
    _a_refund_whose_worker_is_killed_completes(stack, second)
    uploaded = _an_upload_completes_and_can_be_had(stack)
    assert stack.saga("doctor")["ok"]

    _flower_asks_who_is_there_and_changes_nothing(stack)
    _nothing_is_published_beyond_loopback(stack)
    _nobody_is_root(stack)
    _the_image_has_the_application_alone(image)
    _no_secret_is_told(stack, image)

    # What is kept is in the volumes: the containers are new ones.
    stack.run("down", "--timeout=20")
    stack.up()
    stack.until_well()
    for payment in (first, second):
        _is_refunded(stack, payment)
    _can_be_had(stack, uploaded)


def _start(stack: Composition, payment: dict[str, Any]) -> str:
    with stack.api() as api:
        path = f"/api/billing/payments/{payment['id']}/refund"
        answer = api.post(path, json={"amount": payment["amount"], "reason": "broken"})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["sagaId"])


def _look(stack: Composition, saga_id: str) -> dict[str, Any]:
    with stack.api() as api:
        return dict(api.get(f"/api/sagas/{saga_id}").raise_for_status().json())


def _completes(stack: Composition, saga_id: str) -> dict[str, Any]:
    def seen() -> str:
        return str(_look(stack, saga_id))

    stack.until(
        lambda: _look(stack, saga_id)["saga"]["status"] == "COMPLETED", "it is COMPLETED", seen
    )
    return _look(stack, saga_id)


def _is_refunded(stack: Composition, payment: dict[str, Any]) -> None:
    with stack.api() as api, stack.sandbox() as sandbox:
        ours = api.get(f"/api/payments/{payment['id']}").raise_for_status().json()
        books = sandbox.get("/control/books").raise_for_status().json()["refunds"]
    assert (ours["status"], ours["refundedAmount"]) == ("refunded", payment["amount"])
    [refund] = [refund for refund in books if refund["paymentNo"] == payment["paymentNo"]]
    assert (refund["status"], refund["amount"]) == ("SUCCESS", payment["amount"])


def _a_refund_over_http_completes(stack: Composition, payment: dict[str, Any]) -> None:
    assert httpx.get(f"{stack.url('api')}/api/sagas", trust_env=False).status_code == 401

    _completes(stack, _start(stack, payment))

    _is_refunded(stack, payment)


def _a_refund_whose_worker_is_killed_completes(stack: Composition, payment: dict[str, Any]) -> None:
    [worker] = stack.containers("worker")
    with stack.sandbox() as sandbox:
        fault = {"operation": "refund", "kind": "slow", "seconds": 600, "times": 1}
        sandbox.post("/control/faults", json=fault).raise_for_status()
    saga_id = _start(stack, payment)
    stack.until(
        lambda: _events(stack, saga_id, "attempt_started"),
        "the provider is called",
        lambda: str(_look(stack, saga_id)),
    )

    docker("kill", worker["Id"])
    assert _look(stack, saga_id)["saga"]["status"] == "RUNNING"
    stack.up("--scale", "worker=2")

    seen = _completes(stack, saga_id)
    assert _events(stack, saga_id, "taken_over")
    [pivot] = [step for step in seen["steps"] if step["name"] == PIVOT]
    # The one that was killed, and the one that was not; a slow machine may lose another.
    assert pivot["attempts"] >= 2
    _is_refunded(stack, payment)
    stack.until_well()
    assert len(stack.containers("worker")) == 2


def _an_upload_completes_and_can_be_had(stack: Composition) -> str:
    checks = {check["name"]: check["level"] for check in stack.saga("doctor")["checks"]}
    assert (checks["staging"], checks["object store"]) == ("ok", "ok")
    with stack.api() as api, TINY.open("rb") as file:
        answer = api.post("/api/apps", files={"file": file}, data={"name": "Tiny"})
    assert answer.status_code == 202, answer.text
    saga_id = str(answer.json()["sagaId"])

    _completes(stack, saga_id)

    _can_be_had(stack, saga_id)
    stack.until(
        lambda: not stack.run("exec", "-T", "api", "ls", "-A", "/staging").strip(),
        "nothing waits in staging",
    )
    return saga_id


def _can_be_had(stack: Composition, app_id: str) -> None:
    with stack.api() as api:
        assert api.get(f"/api/apps/{app_id}").raise_for_status().json()["isLatest"]
        file = api.get(f"/api/apps/{app_id}/download").raise_for_status()
    assert file.content == TINY.read_bytes()


def _events(stack: Composition, saga_id: str, kind: str) -> list[dict[str, Any]]:
    return [event for event in _look(stack, saga_id)["events"] if event["kind"] == kind]


def _flower_asks_who_is_there_and_changes_nothing(stack: Composition) -> None:
    login = (stack.variables["FLOWER_USER"], stack.variables["FLOWER_PASSWORD"])
    url = stack.url("flower")
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as flower:
        assert flower.get("/workers").status_code == 401
        assert flower.get("/workers", auth=(login[0], "guessed")).status_code == 401
        shown = flower.get("/workers", auth=login)
        assert shown.status_code == 200
        [worker, *_] = stack.containers("worker")
        node = f"worker@{worker['Config']['Hostname']}"
        assert node in shown.text
        assert flower.post(f"/api/worker/shutdown/{node}", auth=login).status_code == 403


def _nothing_is_published_beyond_loopback(stack: Composition) -> None:
    published = {
        container["Config"]["Labels"]["com.docker.compose.service"]: place["HostIp"]
        for container in stack.containers()
        for places in container["NetworkSettings"]["Ports"].values()
        for place in places or ()
    }

    assert published == dict.fromkeys(("api", "flower", "sandbox"), "127.0.0.1")


def _nobody_is_root(stack: Composition) -> None:
    for service in ("api", "beat", "flower", "recovery", "sandbox", "worker"):
        assert stack.run("exec", "-T", service, "id", "-u").strip() == "10001"
    # Whoever logs in has the user that compose gave; what runs may have given up root since.
    assert stack.run("exec", "-T", "redis", "id", "-un").strip() == "redis"


def _the_image_has_the_application_alone(image: str) -> None:
    there = docker("run", "--rm", image, "ls", "-A", "/app").split()

    assert set(there) == {
        *("alembic.ini", "api", "app.py", "celeryconfig.py", "commands", "gateways", "health.py"),
        *("migrations", "models", "pyproject.toml", "settings.py", "tasks", "workflows"),
    }


def _no_secret_is_told(stack: Composition, image: str) -> None:
    told = {
        "the logs": stack.run("logs", "--no-color"),
        "the image": docker("image", "inspect", image),
        "the image's history": docker("history", "--no-trunc", image),
        "the containers' commands": json.dumps(
            [[container["Config"]["Cmd"], container["Args"]] for container in stack.containers()]
        ),
    }

    assert "Task payment_refund" in told["the logs"], "the logs are read"
    for name, secret in stack.secrets.items():
        for where, text in told.items():
            assert secret not in text, f"{name} stands in {where}"
