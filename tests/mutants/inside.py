"""Runs tests inside a copy of the project and writes down what became of each: not a test itself.

``python -m tests.mutants.inside REPORT TEST…``, with the copy as working folder.
"""

import json
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

import saga


class Recorder:
    """What became of every test: "passed", or the type of the error that it failed by."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if call.when == "call" and call.excinfo is None:
            self.outcomes[item.nodeid] = "passed"
        elif call.excinfo is not None:
            where = "" if call.when == "call" else f" in {call.when}"
            self.outcomes[item.nodeid] = f"{call.excinfo.typename}{where}"
        return report


def main(report: str, *tests: str) -> int:
    recorder = Recorder()
    options = ["-q", "-p", "pytest_timeout", "-p", "no:cacheprovider"]
    code = pytest.main([*options, *tests], plugins=[recorder])
    found = {"saga": saga.__file__, "code": int(code), "outcomes": recorder.outcomes}
    Path(report).write_text(json.dumps(found))
    return int(code)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
