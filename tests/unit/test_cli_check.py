"""``saga check`` tells what changed its shape without a new version, and needs no servers."""

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from celery import Celery

from saga import Engine, Saga, SagaApp, connect, retriable
from saga.cli import run
from saga.followup import Lane, Publication
from tests.unit.positions import State, sql

pytestmark = pytest.mark.unit

Check = Callable[..., tuple[int, str, str]]


class NoBroker:
    def publish(self, publication: Publication) -> None:
        raise AssertionError(publication)

    def waiting(self, lane: Lane) -> int:
        raise AssertionError(lane)


STEPS = {name: retriable(sql(name)) for name in ("trip.book", "trip.tell")}


def trip(*steps: str, version: int = 1) -> Saga[State]:
    return Saga(
        name="trip",
        version=version,
        state=State,
        timeout=timedelta(minutes=1),
        steps=[STEPS[name] for name in steps],
    )


@pytest.fixture
def check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Check:
    def run_it(sagas: list[Saga[Any]], *words: str, kept: bool = True) -> tuple[int, str, str]:
        database = connect("postgresql://127.0.0.1:1/none")
        app = ModuleType("trips_to_check")
        vars(app)["saga_app"] = SagaApp(
            celery=Celery(set_as_current=False),
            engine=Engine(database=database, sagas=sagas, publisher=NoBroker()),
            migrate=lambda: None,
            fingerprints=tmp_path / "fingerprints.json" if kept else None,
        )
        monkeypatch.setitem(sys.modules, app.__name__, app)
        code = run(["check", "--app", app.__name__, *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run_it


def test_a_new_definition_is_told_of_until_it_is_written_down(check: Check) -> None:
    sagas = [trip("trip.book")]

    code, _, said = check(sagas)
    assert code == 1
    assert "trip version 1 is not written down yet: saga check --write" in said

    assert check(sagas, "--write")[0] == 0
    code, out, _ = check(sagas, "--json")
    assert code == 0
    told = json.loads(out)
    assert told["ok"] is True
    assert [each["standing"] for each in told["definitions"]] == ["known"]


def test_another_shape_needs_another_version(check: Check, tmp_path: Path) -> None:
    check([trip("trip.book")], "--write")
    before = (tmp_path / "fingerprints.json").read_text()

    changed = [trip("trip.book", "trip.tell")]
    for words in ([], ["--write"]):
        code, _, said = check(changed, *words)
        assert code == 1
        assert "raise its version" in said
    assert (tmp_path / "fingerprints.json").read_text() == before

    both = [trip("trip.book"), trip("trip.book", "trip.tell", version=2)]
    assert check(both, "--write")[0] == 0
    assert set(json.loads((tmp_path / "fingerprints.json").read_text())["trip"]) == {"1", "2"}


def test_an_unreadable_file_is_said_to_be(check: Check, tmp_path: Path) -> None:
    (tmp_path / "fingerprints.json").write_text("[")

    code, _, said = check([trip("trip.book")])

    assert code == 1
    assert "has no fingerprints" in said


def test_without_a_file_soundness_is_all_there_is(check: Check) -> None:
    code, out, _ = check([trip("trip.book")], kept=False)
    assert code == 0
    assert "sound" in out
    assert check([trip("trip.book")], "--write", kept=False)[0] == 2


def test_a_definition_that_is_not_sound_is_told_with_all_its_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "unsound_trips.py").write_text(
        "from datetime import timedelta\n"
        "from saga import Saga\n"
        "from tests.unit.positions import State\n"
        "Saga(name='', version=0, state=State, timeout=timedelta(0), steps=[])\n"
    )
    monkeypatch.chdir(tmp_path)

    assert run(["check", "--app", "unsound_trips"]) == 1
    assert "is not sound" in capsys.readouterr().err
