"""Devices from the command line: users who may have some, and what starts nothing."""

import json
import re
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.test_cli import NOBODY, Shell, environment

pytestmark = pytest.mark.integration

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"cpu": 17}, "cpu"),
    ({"cpu": True}, "cpu"),
    ({"cpu": "4"}, "cpu"),
    ({"cpu": float("nan")}, "cpu"),
    ({"cpu": float("inf")}, "cpu"),
    ({"memoryMb": 511}, "memoryMb"),
    ({"storageMb": 10**30}, "storageMb"),
    ({"androidVersion": 14}, "androidVersion"),
    ({"name": ""}, "name"),
    ({"name": "a\0b"}, "name"),
    ({"name": ["a"]}, "name"),
    ({"ram": 1}, "ram"),
    ({"userId": "nobody"}, "userId"),
]


@pytest.fixture
def shell(database_url: str) -> Shell:
    return Shell(environment(DATABASE_URL=database_url, CELERY_BROKER_URL=NOBODY))


def creation(user_id: str, **others: Any) -> str:
    return json.dumps({"userId": user_id, "name": "a try", **others})


def test_users_are_seeded_whose_devices_can_be_created_and_what_is_wrong_is_told(
    shell: Shell,
) -> None:
    made = shell.json("seed", "--users=2", "--devices=3", "--payments=1", "--method=balance")

    assert (set(made), len(made["payments"])) == ({"payments", "users"}, 1)
    one, other = made["users"]
    assert one["id"] != other["id"]
    assert one == {
        "id": one["id"],
        "quota": {
            "userId": one["id"],
            "status": "active",
            "expiresAt": None,
            "devices": 3,
            "deviceCpu": 16,
            "deviceMemoryMb": 32_768,
            "deviceStorageMb": 1_048_576,
            "totalCpu": 48,
            "totalMemoryMb": 98_304,
            "totalStorageMb": 3_145_728,
            "taken": {"devices": 0, "reserved": 0, "cpu": 0, "memoryMb": 0, "storageMb": 0},
        },
    }

    largest = {"cpu": 16, "memoryMb": 32_768, "storageMb": 1_048_576}
    lines = [creation(one["id"], **largest), creation(other["id"])]
    lines += [creation(one["id"], **wrong) for wrong, _ in WRONG]
    done = shell.run("start", "device_creation", "--input=@-", "--json", given="\n".join(lines))

    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert [line.get("status") for line in told[:2]] == ["RUNNING"] * 2
    errors = [line["error"] for line in told[2:]]
    assert [
        field for (_, field), said in zip(WRONG, errors, strict=True) if field not in said
    ] == []

    def fails(code: int, device_id: str) -> str:
        asked = json.dumps({"deviceId": device_id})
        return shell.fails(code, "start", "device_deletion", "--input", asked)

    creating = told[0]["sagaId"]
    assert creating in fails(4, creating)
    unknown = str(uuid4())
    assert unknown in fails(3, unknown)
    assert "deviceId" in fails(2, "none")


def test_the_command_that_is_told_of_seeded_users_is_one_that_works(shell: Shell) -> None:
    said = shell.run("seed", "--users=21", "--devices=0").stdout

    assert "21 users made" in said
    assert "… and 1 more; --json shows all" in said
    [asked] = re.findall("saga start device_creation --input '(.*)'", said)
    told = shell.fails(4, "start", "device_creation", "--input", asked)
    assert "0 of 0 devices are taken" in told


@pytest.mark.parametrize("wrong", ["--users=0", "--devices=-1"])
def test_a_number_of_users_or_devices_that_cannot_be_is_a_wrong_usage(
    shell: Shell, wrong: str
) -> None:
    assert wrong.partition("=")[0] in shell.fails(2, "seed", wrong)
