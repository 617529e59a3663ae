"""The documents name what there is, and all of it; the glossary's words are kept."""

import ast
import io
import os
import re
import shlex
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from fastapi import FastAPI
from sqlalchemy import create_engine

import commands
from api import create_app
from saga import Engine
from saga.followup import Lane, Publication
from saga.tables import metadata
from settings import Settings
from tests.unit.kinds import kinds_of
from workflows import refund

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "changelog.d").glob("*.md")])
CODE = ("saga", "workflows", "tasks", "gateways", "models", "api", "commands")
MODULES = sorted(file for folder in CODE for file in (ROOT / folder).rglob("*.py"))


def name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def prose(page: Path) -> str:
    """The page without its code blocks and inline code."""
    return re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)


def reference(page: str) -> str:
    return (DOCS / "reference" / page).read_text()


def first_cells(page: str) -> set[str]:
    """What stands in backticks in the first column of the page's tables."""
    rows = re.findall(r"^\| (`.*?) \|", reference(page), flags=re.MULTILINE)
    return {word for row in rows for word in re.findall(r"`([^`]+)`", row)}


# Links


def anchors(page: Path) -> set[str]:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", page.read_text())):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{target} leads nowhere"
        assert found.is_relative_to(ROOT), f"{target} leads out of the project"
        if anchor:
            assert anchor in anchors(found), f"{target}: no such heading"


def test_the_index_has_every_page() -> None:
    index = (DOCS / "README.md").read_text()

    missing = [
        name(page)
        for page in DOCS.rglob("*.md")
        if page.name != "README.md" and f"({page.relative_to(DOCS)})" not in index
    ]

    assert missing == []


def test_every_test_that_a_page_names_exists() -> None:
    written = "\n".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    named = {
        test
        for page in PAGES
        for test in re.findall(r"\btest_\w+\b(?!\.py)", page.read_text())
        if not test.startswith("test_docs")
    }

    assert named, "the promises name their tests"
    assert [test for test in sorted(named) if f"def {test}(" not in written] == []


# References


@pytest.mark.parametrize("setting", Settings.model_fields)
def test_every_setting_is_documented_with_its_default(setting: str) -> None:
    [row] = [
        line for line in reference("settings.md").splitlines() if f"| `{setting.upper()}` |" in line
    ]
    default = Settings.model_fields[setting].default

    shown = row.split("|")[2]
    secret = getattr(default, "get_secret_value", None)
    expected = "none" if default is None else secret() if secret else str(default)
    assert expected in shown
    assert row.split("|")[3].strip(), "say what it means"


def test_no_setting_is_documented_that_does_not_exist() -> None:
    beside = {"SAGA_DATA", "SAGA_APP", "SAGA_URL", "SAGA_KEY"}  # read by the command line

    documented = {word for word in first_cells("settings.md") if word.isupper()}

    assert documented - beside == {setting.upper() for setting in Settings.model_fields}


@pytest.mark.parametrize("table", sorted(metadata.tables))
def test_the_columns_of_every_table_are_documented(table: str) -> None:
    [section] = [
        part for part in reference("tables.md").split("\n## ") if part.startswith(f"{table}\n")
    ]

    described = re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)

    columns = [column.name for column in metadata.tables[table].columns]
    indexes = {str(index.name) for index in metadata.tables[table].indexes}
    assert [word for word in described if not word.startswith(f"{table}_")] == columns
    assert indexes <= set(described)


def test_the_events_that_are_documented_are_those_that_the_code_writes() -> None:
    written = {kind for file in MODULES for kind in kinds_of(ast.parse(file.read_text()))}

    documented = re.findall(r"^\| `(\w+)` \|", reference("events.md"), flags=re.MULTILINE)

    assert len(written) > 15, "they are still found"
    assert set(documented) == written


def root_command() -> Any:
    from saga.cli import _MODULES  # noqa: PLC0415

    root = typer.Typer()
    root.callback()(lambda: None)
    for module in _MODULES:
        __import__(module, fromlist=["register"]).register(root)
    commands.register(root)
    return typer.main.get_command(root)


def test_every_command_is_documented_with_its_options() -> None:
    sections = dict(
        re.findall(
            r"^### `saga ([\w-]+).*?`\n(.*?)(?=^##|\Z)",
            reference("cli.md"),
            flags=re.MULTILINE | re.DOTALL,
        )
    )
    known = root_command().commands

    assert set(sections) == set(known)
    for command, section in sections.items():
        options = {
            option
            for parameter in known[command].params
            for option in parameter.opts
            if option.startswith("--") and option != "--help"
        }
        missing = [option for option in options if f"`{option}" not in section]
        assert missing == [], command


def test_no_page_names_a_command_that_does_not_exist() -> None:
    known = set(root_command().commands)

    named = {
        (command, name(page))
        for page in PAGES
        for command in re.findall(
            r"(?:^\$ |`|&& )saga ([a-z]+(?:-[a-z]+)*)", page.read_text(), re.MULTILINE
        )
    }

    assert named
    assert [place for place in sorted(named) if place[0] not in known] == []


class NoBroker:
    def publish(self, publication: Publication) -> None:  # noqa: ARG002
        raise AssertionError

    def waiting(self, lane: Lane) -> int:  # noqa: ARG002
        raise AssertionError


def api() -> FastAPI:
    database = create_engine("postgresql+psycopg2://")
    return create_app(Engine(database=database, sagas=[], publisher=NoBroker()), api_key=None)


def test_every_route_is_documented() -> None:
    served = {
        f"{method.upper()} {path}"
        for path, methods in api().openapi()["paths"].items()
        for method in methods
    }

    documented = re.findall(r"^### ([A-Z]+ /\S*)$", reference("http.md"), flags=re.MULTILINE)

    assert set(documented) == served


def test_every_fault_of_the_sandboxes_is_documented() -> None:
    from gateways.objects.sandbox import faults as objects  # noqa: PLC0415
    from gateways.payments.sandbox.faults import Kind  # noqa: PLC0415

    orders = [*Kind, *objects.Kind, *objects.Operation]
    assert {order.value for order in orders} <= first_cells("sandbox.md")


def test_the_refund_reads_in_the_readme_as_it_does_in_the_code() -> None:
    shown = (ROOT / "README.md").read_text()

    for step in refund.steps:
        assert f"{step.role}(" in shown
        for work in step.works():
            assert work.name.removeprefix("payment_refund.") in shown


def commands_of(page: Path) -> Iterator[list[str]]:
    """Each ``saga`` command that the page's console blocks give, as the shell would part it."""
    for block in re.findall(r"```console\n(.*?)```", page.read_text(), flags=re.DOTALL):
        whole = block.replace("\\\n", " ")
        for command in re.findall(r"(?:^\$ |&& |[({;] )(saga [^|&>)\n]*)", whole, re.MULTILINE):
            told = re.sub(r"\s#.*$", "", command)
            try:
                yield shlex.split(told)
            except ValueError:  # a quote that holds lines of its own
                continue


@pytest.mark.parametrize("page", [page for page in PAGES if any(commands_of(page))], ids=name)
def test_every_command_in_a_pages_console_can_be_given(page: Path) -> None:
    root = root_command()
    # Of every command; the command line takes them out.
    ours = {"--json", "--data", "--app", "--url", "--api-key"}

    for _, command, *arguments in commands_of(page):
        given = [word for word in arguments if word not in ours]
        root.commands[command].make_context(command, given)


@pytest.mark.parametrize(
    ("page", "producers"),
    [("tutorial/first-saga.md", "sale"), ("how-to/wait-for-a-callback.md", "order")],
)
def test_a_pages_code_is_a_sound_application(tmp_path: Path, page: str, producers: str) -> None:
    page = (DOCS / page).read_text()
    [code] = re.findall(r"Write `shop\.py`:\n\n```python\n(.*?)```", page, flags=re.DOTALL)
    (tmp_path / "shop.py").write_text(code)
    servers = {"DATABASE_URL": "postgresql://", "CELERY_BROKER_URL": "redis://127.0.0.1:1"}

    done = subprocess.run(
        [sys.executable, "-c", "from shop import saga_app; print(*saga_app.producers)"],
        cwd=tmp_path,
        env={**os.environ, **servers, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == f"{producers}\n", done.stderr


# The glossary's words

NEVER = re.compile(r"\b(undo(es|ing)?|revert(s|ed|ing)?)\b", re.IGNORECASE)
# Transactions are rolled back, by everybody's word for it; sagas are compensated.
ROLLBACK = re.compile(r"\broll(s|ed|ing)?[ -]?back\b", re.IGNORECASE)
OF_A_TRANSACTION = re.compile(r"\b(transaction|commit|session)", re.IGNORECASE)
LAW = "docs/glossary.md"


@pytest.mark.parametrize("page", [page for page in PAGES if name(page) != LAW], ids=name)
def test_pages_say_compensation(page: Path) -> None:
    for paragraph in prose(page).split("\n\n"):
        assert not NEVER.search(paragraph), paragraph
        assert not ROLLBACK.search(paragraph) or OF_A_TRANSACTION.search(paragraph), paragraph


@pytest.mark.parametrize("file", MODULES, ids=name)
def test_comments_and_texts_say_compensation(file: Path) -> None:
    for token in tokenize.generate_tokens(io.StringIO(file.read_text()).readline):
        if token.type in {tokenize.COMMENT, tokenize.STRING}:
            assert not NEVER.search(token.string), f"line {token.start[0]}: {token.string[:100]}"


def defined(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        match node:
            case ast.FunctionDef(name=word) | ast.ClassDef(name=word) | ast.arg(arg=word):
                yield word
            case ast.Name(id=word, ctx=ast.Store()):
                yield word


def snake(word: str) -> str:
    """RefundOrder is refund_order: it has no undo in it."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", word).lower()


@pytest.mark.parametrize("file", MODULES, ids=name)
def test_names_say_compensation(file: Path) -> None:
    never = r"(^|_)(undo|revert)"
    # SQLAlchemy's sessions have a rollback; whoever watches over one says so.
    of_sessions = {"saga/step_session.py", "saga/transaction.py", "saga/loan.py"}
    wrong = re.compile(never if name(file) in of_sessions else rf"{never}|(^|_)roll_?back")

    words = {snake(word) for word in defined(ast.parse(file.read_text()))}

    assert [word for word in sorted(words) if wrong.search(word)] == []


def test_durable_names_say_compensation() -> None:
    durable = {work.name for step in refund.steps for work in step.works()}
    durable |= {column.name for table in metadata.tables.values() for column in table.columns}
    durable |= {kind for file in MODULES for kind in kinds_of(ast.parse(file.read_text()))}

    assert not [word for word in durable if re.search(r"(\b|_)(undo|roll_?back|revert)", word)]


# What stands in the glossary is what the code has


def test_the_glossary_has_every_status_effect_and_reason() -> None:
    from saga.definition import Role  # noqa: PLC0415
    from saga.position import Status, StopReason  # noqa: PLC0415
    from saga.task import Effect  # noqa: PLC0415

    law = (ROOT / LAW).read_text().replace("_", " ")

    for word in [*Status, *Effect, *Role, *StopReason]:
        assert word.value.replace("_", " ") in law, word
