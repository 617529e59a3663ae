"""The ``saga`` command over a shop's saga, run in this process, as an operator types it."""

import io
import json
import sys
from types import ModuleType
from typing import Any

import pytest
import structlog
from celery import Celery

from saga import SagaApp
from saga.cli import run
from saga.cli.output import console
from tests.integration.shop import Shop


class Desk:
    """Runs commands on the shop's database. Its publications go to the shop's broker."""

    def __init__(
        self, shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch
        # As a process that logs properly, whatever tests before did to it.
        structlog.configure(logger_factory=structlog.stdlib.LoggerFactory())
        app = ModuleType("shop_at_the_desk")
        vars(app)["saga_app"] = SagaApp(
            celery=Celery(set_as_current=False), engine=shop.engine, migrate=lambda: None
        )
        monkeypatch.setitem(sys.modules, app.__name__, app)
        monkeypatch.setenv("SAGA_APP", app.__name__)
        monkeypatch.setenv("DATABASE_URL", "postgresql://")
        monkeypatch.setenv("LOGNAME", "ann")

    def at_a_terminal(self) -> None:
        """From now on a person looks on."""
        self._monkeypatch.setenv("TERM", "xterm")
        self._monkeypatch.setattr(console, "_force_terminal", True)
        self._monkeypatch.setattr(console, "is_interactive", True)

    def run(self, *words: object) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        self._capsys.readouterr()
        code = run([str(word) for word in words])
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def says(self, *words: object) -> str:
        code, out, err = self.run(*words)
        assert code == 0, (code, out, err)
        return out

    def json(self, *words: object) -> Any:
        [line] = self.lines(*words)
        return line

    def lines(self, *words: object, code: int = 0) -> list[Any]:
        """What is printed for programs, a value a line."""
        ended, out, err = self.run(*words, "--json")
        assert ended == code, (ended, out, err)
        return [json.loads(line) for line in io.StringIO(out)]

    def fails(self, code: int, *words: object) -> str:
        """What is said on standard error."""
        ended, out, err = self.run(*words)
        assert ended == code, (ended, out, err)
        return err
