"""Every commit of the engine stands between two crash points; every write is one."""

import ast
import inspect
from pathlib import Path

import pytest

import saga
from saga import store
from saga.crashpoints import armed, around, reach

pytestmark = pytest.mark.unit

ENGINE = Path(saga.__file__).parent
# Faces and servers, which move no saga; and the doors themselves. Of a loan, only its session is
# committed, and never what was lent.
OUTSIDE = {"access", "api", "cli", "console", "doctor", "embedded", "stack"}
DOORS = {"database.py", "loan.py", "step_session.py"}
MODULES = sorted(
    file
    for file in ENGINE.rglob("*.py")
    if file.name not in DOORS and not OUTSIDE & set(file.relative_to(ENGINE).parts)
)


@pytest.mark.parametrize("module", MODULES, ids=lambda file: str(file.relative_to(ENGINE)))
def test_nothing_commits_but_through_a_crash_point(module: Path) -> None:
    calls = [
        node.func.attr
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]

    assert not {"begin", "commit", "begin_nested", "execution_options"} & set(calls)


@pytest.mark.parametrize("verb", sorted(set(store.__all__) - {"Record"}))
def test_every_statement_of_the_store_that_writes_is_a_crash_point(verb: str) -> None:
    assert inspect.unwrap(getattr(store, verb)) is not getattr(store, verb)


def test_a_hook_sees_every_point_while_it_is_armed() -> None:
    seen: list[str] = []

    with armed(seen.append), around("commit"):
        reach("wrote advance")
    reach("wrote nothing")

    assert seen == ["before commit", "wrote advance", "after commit"]


def test_what_failed_has_no_point_after_it() -> None:
    seen: list[str] = []

    with armed(seen.append), pytest.raises(ConnectionError), around("publish"):
        raise ConnectionError

    assert seen == ["before publish"]
