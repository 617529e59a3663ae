"""What the parts of a stack are given, before any is started."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from celery import Celery

from saga.application import SagaApp
from saga.stack import processes, startup
from saga.stack.processes import Ground
from saga.stack.startup import Plan

pytestmark = pytest.mark.integration

APP = SagaApp(
    celery=Celery("shop"),
    engine=None,  # type: ignore[arg-type]
    migrate=lambda: None,
    celery_target="shop:celery",
)


def test_flower_gets_the_key_where_nobody_sees_it_and_no_option_made_for_elsewhere(
    tmp_path: Path,
) -> None:
    made_for_elsewhere = {"FLOWER_URL_PREFIX": "flower", "FLOWER_READ_ONLY": "false"}
    ground = Ground(
        project=tmp_path,
        data=tmp_path,
        environment={"CELERY_BROKER_URL": "redis://", **made_for_elsewhere},
    )

    flower = processes.flower(ground, APP, key="s3cret")

    assert flower.environment == {
        "CELERY_BROKER_URL": "redis://",
        "FLOWER_BASIC_AUTH": "admin:s3cret",
        "FLOWER_READ_ONLY": "true",
        "FLOWER_TASKS_COLUMNS": "name,args,state,received,runtime,worker,uuid",
    }
    assert "s3cret" not in " ".join(flower.command())


@pytest.mark.parametrize(
    ("given", "told", "own"),
    [
        ({"SAGA_API_KEY": "whole"}, "http://127.0.0.1:", ["flower"]),
        ({"FLOWER_URL": "https://flower.test"}, "https://flower.test", []),
        ({"SAGA_API_KEY": "half,half"}, None, []),
    ],
)
def test_a_stack_starts_flower_unless_one_runs_already_or_would_cut_the_key_in_two(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    given: Mapping[str, str],
    told: str | None,
    own: Sequence[str],
) -> None:
    servers = {"DATABASE_URL": "postgresql://", "CELERY_BROKER_URL": "redis://"}
    for name, text in {**servers, "SAGA_API_KEY": "key", "FLOWER_URL": "", **given}.items():
        monkeypatch.setenv(name, text)
    plan = Plan(application="shop:saga_app", project=tmp_path, data=tmp_path)

    facts, _, rest = startup._rest(plan, APP)

    assert [process.name for process in rest if process.name == "flower"] == own
    url = facts.get("flowerUrl")
    assert url == facts["environment"].get("FLOWER_URL")
    assert url is None if told is None else url.startswith(told)
