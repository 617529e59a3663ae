"""How doctor proves that API and workers share the staging folder: by a token that they read."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.worker.control import Panel

from commands.upload_health import findings
from gateways.staging import Staging
from saga.doctor import Finding, Level
from saga.followup import Lane
from tasks import doors, staging_token

pytestmark = pytest.mark.integration

Ask = Callable[..., Finding]


@pytest.fixture(autouse=True)
def staging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Staging:
    """The folder that doctor has by its settings."""
    made = Staging(tmp_path / "staging")
    monkeypatch.setattr(doors, "staging", lambda: made)
    return made


@pytest.fixture
def find(monkeypatch: pytest.MonkeyPatch) -> Ask:
    """What doctor finds of staging where these workers, by name, have these folders."""

    def found(**workers: Path) -> Finding:
        def ask(_: Celery, token: str) -> dict[str, str | None]:
            return {name: Staging(folder).read_token(token) for name, folder in workers.items()}

        monkeypatch.setattr(staging_token, "ask", ask)
        [finding] = [one for one in findings(Celery()) if one.name == "staging"]
        return finding

    return found


def test_workers_that_see_the_folder_are_counted(find: Ask, staging: Staging) -> None:
    finding = find(one=staging.folder, two=staging.folder)

    assert finding.level is Level.OK
    assert finding.detail == f"{staging.folder} is seen by 2 workers"
    assert list(staging.files()) == []


def test_a_worker_with_a_folder_of_its_own_is_named(
    find: Ask, staging: Staging, tmp_path: Path
) -> None:
    finding = find(one=staging.folder, two=tmp_path)

    assert finding.level is Level.BAD
    assert finding.detail == f"{staging.folder} is not seen by two: uploads fail there"


def test_where_no_worker_answers_nothing_is_proved(find: Ask) -> None:
    assert find().level is Level.WARN


def test_a_folder_that_cannot_be_is_told_with_what_to_do(
    find: Ask, staging: Staging, tmp_path: Path
) -> None:
    staging.folder = tmp_path / "missing" / "staging"

    finding = find()

    assert finding.level is Level.BAD
    assert finding.advice.startswith("let STAGING_FOLDER be a folder")


@pytest.mark.parametrize(("queue", "runs_steps"), [(next(iter(Lane)), True), ("other", False)])
def test_a_worker_reads_the_token_and_tells_whether_it_runs_steps(
    staging: Staging, monkeypatch: pytest.MonkeyPatch, queue: str, *, runs_steps: bool
) -> None:
    monkeypatch.setattr(staging_token, "staging", lambda: staging)
    staging_token.answer()
    reads: Any = Panel.data[staging_token.READ]
    queues = [SimpleNamespace(name=str(queue))]
    state = SimpleNamespace(consumer=SimpleNamespace(task_consumer=SimpleNamespace(queues=queues)))

    with staging.token() as (token, text):
        assert reads(state, token) == {"runs_steps": runs_steps, "said": text}
    assert reads(state, token)["said"] is None
