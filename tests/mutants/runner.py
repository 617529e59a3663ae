"""Runs the tests that are to kill a mutant, on a copy of the project that has the mutant in it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.mutants.mutant import Mutant

PROJECT = Path(__file__).parents[2]
_LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "docs")

# A mutant's test that has not ended by then hangs, however busy the machine is.
_PATIENCE_SECONDS = 900

# With the guard gone, what needs no guard works still: else the mutant is broken, not unguarded.
_STILL_WORKS = {
    "tests/unit": "tests/unit/test_decide_forward.py::test_jitter_takes_up_to_half_of_the_wait",
    "tests/integration": (
        "tests/integration/test_engine_chain.py::test_a_saga_goes_forward_in_one_chain"
    ),
}
_BY_THE_TEST = ("AssertionError", "Failed")


@dataclass(frozen=True)
class Run:
    """What a run of tests came to. Without a report it never ended, or the process was lost."""

    code: int | None
    outcomes: Mapping[str, str] = field(default_factory=dict)
    output: str = ""

    def of(self, test: str) -> list[str]:
        """The outcomes of a test, one for each of its parameters."""
        return [
            outcome
            for node, outcome in self.outcomes.items()
            if node == test or node.startswith(f"{test}[")
        ]


@dataclass(frozen=True)
class Server:
    """A PostgreSQL for the tests in copies, and a database there that is migrated already."""

    url: str
    template: str


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the project without what was made from it, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="saga-mutant-") as folder:
        copy = Path(folder).resolve() / "project"
        shutil.copytree(PROJECT, copy, ignore=_LEFT_OUT)
        yield copy


def mutate(copy: Path, mutant: Mutant) -> None:
    file = copy / mutant.file
    source = file.read_text()
    assert source.count(mutant.before) == 1, f"{mutant.file} has moved: {mutant.before}"
    file.write_text(source.replace(mutant.before, mutant.after))


def run(copy: Path, tests: Iterable[str], server: Server, *, migrate: bool = False) -> Run:
    """Run the tests in the copy; ``migrate`` their databases by the copy, or take what there is."""
    report = copy.parent / "report.json"
    settings = {
        **{name: value for name, value in os.environ.items() if "PYTEST" not in name},
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # loading them takes longer than most tests
        "PYTHONPATH": str(copy),
        "DATABASE_URL": server.url,
        **({} if migrate else {"DATABASE_TEMPLATE": server.template}),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.mutants.inside", report, *tests],
        cwd=copy,
        env=settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = process.communicate(timeout=_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
    if not report.exists():
        return Run(None, output=output)
    found = json.loads(report.read_text())
    assert Path(found["saga"]).is_relative_to(copy), f"tested {found['saga']}, not the copy"
    return Run(found["code"], found["outcomes"], output)


def survives(mutant: Mutant, server: Server) -> str | None:
    """Why the mutant is not killed by the tests named for it; None when it is."""
    still = {
        test for folder, test in _STILL_WORKS.items() if mutant.killed_by[0].startswith(folder)
    }
    with copied() as copy:
        mutate(copy, mutant)
        migrate = mutant.file.startswith("saga/schema/")
        done = run(copy, [*mutant.killed_by, *still], server, migrate=migrate)
    if done.code != 1:
        return f"pytest ended with {done.code}: {done.outcomes or done.output[-2000:]}"
    for test in still:
        if done.of(test) != ["passed"]:
            return f"it breaks what needs no guard: {test} {done.of(test)}\n{done.output[-3000:]}"
    for test in mutant.killed_by:
        failures = [outcome for outcome in done.of(test) if outcome != "passed"]
        if not failures:
            return f"{test} passes"
        if not set(failures) <= {*_BY_THE_TEST, *mutant.dies_of}:
            return f"{test} fails by {failures}, not by what it asserts\n{done.output[-3000:]}"
    return None
