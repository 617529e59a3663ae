"""The page about adding a payment provider, done word by word in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from saga.embedded import PostgresServer

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/how-to/add-a-payment-provider.md"
PROJECT = [
    *("api", "commands", "gateways", "migrations", "models", "saga", "tasks", "tests", "workflows"),
    *("alembic.ini", "app.py", "celeryconfig.py", "pyproject.toml", "settings.py"),
]
EQUAL = ("migrations", "checks_of_business_tables")
# "Write `a.py`:" above all of a new file; "In `a.py`:" above what changes in one that is there.
SHOWN = re.compile(
    r"\b(Write|In) `([\w/.]+)`[^\n]*:\n\n```(?:python|diff)\n(.*?)```$", re.MULTILINE | re.DOTALL
)


def follow(page: str, project: Path) -> set[str]:
    """Do all that the page shows; which files it wrote or changed."""
    touched = set()
    for what, name, code in SHOWN.findall(page):
        file = project / name
        if what == "Write":
            assert not file.exists(), f"{name} is there already"
            file.write_text(code)
        else:
            file.write_text(changed(file.read_text(), code, name))
        touched.add(name)
    return touched


def changed(source: str, diff: str, name: str) -> str:
    """The file with the page's lines taken out and put in; each place must be found once."""
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] or "\n" for line in lines if not line.startswith("+"))
        after = "".join(line[1:] or "\n" for line in lines if not line.startswith("-"))
        assert source.count(before) == 1, f"{name} has no such place any more:\n{before}"
        source = source.replace(before, after)
    return source


def numbered_last(project: Path) -> None:
    """Put the page's migration behind those that are there by now, as its reader does."""
    head = ScriptDirectory(str(ROOT / "migrations")).get_current_head()
    assert head is not None
    [migration] = (project / "migrations/versions").glob("*_stripe.py")
    text = re.sub(
        r'^(down_revision) = "\d+"', rf'\1 = "{head}"', migration.read_text(), flags=re.MULTILINE
    )
    migration.write_text(re.sub(r'^(revision) = "\d+"', r'\1 = "stripe"', text, flags=re.MULTILINE))


def test_a_payment_provider_is_added_as_its_page_says(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    for name in PROJECT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, tmp_path / name)
    touched = sorted(follow(PAGE.read_text(), tmp_path))
    numbered_last(tmp_path)
    shutil.copy2(ROOT / "tests/integration/added_stripe.py", tmp_path / "tests/test_added.py")

    for check in (["check"], ["format", "--check"]):
        run("ruff", *check, *touched, folder=tmp_path)
    postgres: PostgresServer = request.getfixturevalue("postgres")
    migrations = "tests/integration/test_migrations.py"
    run(
        *("pytest", "-q", "-n0", "-p", "no:cacheprovider", "tests/test_added.py"),
        *(f"{migrations}::test_{each}_equal_models" for each in EQUAL),
        folder=tmp_path,
        DATABASE_URL=os.environ.get("DATABASE_URL") or postgres.url,
    )


def run(*words: str, folder: Path, **env: str) -> None:
    """Run a module's command in the copied project alone; it must end well."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env={**{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}, **env},
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
