"""What is logged of errors: where they came from, and nothing of what was in hand there."""

import ast
from pathlib import Path

import psycopg2
import pytest
import structlog
from sqlalchemy.exc import IntegrityError

from saga import logs

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
CODE = ("saga", "workflows", "tasks", "gateways", "models", "api", "commands")
MODULES = sorted(file for folder in CODE for file in (ROOT / folder).rglob("*.py"))


class Quoting(psycopg2.IntegrityError):
    """As PostgreSQL tells of a row that breaks a rule."""

    def __str__(self) -> str:
        return "the row breaks a rule\nDETAIL:  Failing row contains (1, alice)."


def fail() -> None:
    user = {"name": "alice"}
    quoting = Quoting()
    raise IntegrityError("UPDATE users SET name = %s", user, quoting) from quoting


def test_a_logged_error_tells_where_it_came_from_and_no_values() -> None:
    try:
        fail()
    except IntegrityError as error:
        told = logs.traced(error)

    assert "test_logs.py" in told
    assert "in fail" in told
    assert told.count("Quoting: the row breaks a rule") == 2, "of the error, and of what was behind"
    assert "alice" not in told


def test_what_renders_errors_for_us_is_given_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever configured structlog: its own default renders the locals of each frame."""
    log = structlog.wrap_logger(
        structlog.PrintLogger(),
        processors=[
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=True)
            ),
            structlog.processors.LogfmtRenderer(),
        ],
    )
    try:
        fail()
    except IntegrityError as error:
        logs.log_error(log, "odd", error, saga_id="7")

    written = capsys.readouterr().out
    assert "saga_id=7" in written
    assert "the row breaks a rule" in written
    assert "alice" not in written


def test_nobody_hands_an_error_to_the_log_itself() -> None:
    """``log.exception`` and ``exc_info`` leave it to others what is written of each frame."""
    odd = [
        f"{module.relative_to(ROOT)}: {ast.unparse(call)}"
        for module in MODULES
        for call in ast.walk(ast.parse(module.read_text()))
        if isinstance(call, ast.Call)
        and (
            (isinstance(call.func, ast.Attribute) and call.func.attr == "exception")
            or any(word.arg == "exc_info" for word in call.keywords)
        )
    ]

    assert odd == []
