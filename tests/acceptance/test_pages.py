"""Every line for a shell in README and docs is executed, or stands here with the reason why not.

Pages that have a test of their own in ``test_how_to`` have a stack of their own there; all others
share one here.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.acceptance.test_how_to import READERS_OWN, ROOT, blocks, check_what_is_shown, told
from tests.acceptance.test_stack import environment

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]

FIELD = 'field() { python -c "import json, sys; print(json.load(sys.stdin)$1)"; }'
SEEDED = f'{FIELD}\nPAYMENT=$(saga seed --json | field \'["payments"][0]["id"]\')'
NEWEST = 'SAGA_ID=$(saga list --limit 1 --json | field \'["items"][0]["sagaId"]\')'
ADDRESSES = f"""{FIELD}
UP=$(saga up --detach --json)
URL=$(echo "$UP" | field '["apiUrl"]'); KEY=$(echo "$UP" | field '["apiKey"]')
SANDBOX_URL=$(echo "$UP" | field '["sandboxUrl"]')"""


@dataclass(frozen=True, kw_only=True)
class Page:
    """How a page is run on the shared stack.

    ``before`` is what its reader has by then; ``instead`` are words that the reader fills in.
    ``left_out`` are beginnings of commands that are not run, each with the reason.
    """

    before: str = ""
    instead: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


# Who looks on goes after a while; curl says so by 28.
CUT_OFF = "|| test $? -eq 28"
STAYS = {"saga down": "the other pages' stack; test_repairing_a_failed_saga does it"}

PAGES = {
    "README.md": Page(
        before=SEEDED,
        instead={"…": "'$PAYMENT'", "SAGA_ID": f'"$({NEWEST}; echo $SAGA_ID)"'},
        left_out={
            **STAYS,
            "make demo": "test_demo",
            "make test": "this is it",
        },
    ),
    "docs/how-to/create-devices.md": Page(
        left_out={
            "export DEVICE_HOST_URL": "needs a Docker Engine: tests/containers",
            "saga device-image": "needs a Docker Engine: tests/containers",
        }
    ),
    "docs/how-to/find-what-nobody-owns.md": Page(),
    "docs/how-to/run-flower.md": Page(
        left_out={"export ": "goes with celery", "celery ": "the stack has it: test_flower"}
    ),
    "docs/how-to/use-the-console.md": Page(),
    "docs/how-to/reconcile-refunds.md": Page(),
    "docs/how-to/work-from-another-machine.md": Page(),
    "docs/how-to/watch-sagas.md": Page(
        instead={"--max-time 5": "--max-time 2", "| cat": CUT_OFF},
    ),
    "docs/how-to/run-in-production.md": Page(
        left_out={
            "celery ": "the stack has them: test_stack",
            "uvicorn ": "the stack has it: test_stack",
        }
    ),
    "docs/reference/sandbox.md": Page(before=ADDRESSES),
    "docs/reference/http.md": Page(
        before=f"{ADDRESSES}\n{NEWEST}\ncp commands/tiny.apk $TMPDIR/my.apk",
        instead={
            "@my.apk": "@$TMPDIR/my.apk",
            "curl -N": "curl -N --max-time 2",
            "$SAGA_ID/stream": f"$SAGA_ID/stream {CUT_OFF}",
        },
    ),
}

# Those with a test of their own, and those of which no line can run here.
ELSEWHERE = {
    "docs/how-to/wait-for-a-callback.md": "test_how_to",
    "docs/how-to/repair-a-failed-saga.md": "test_how_to",
    "docs/how-to/upload-an-application.md": "test_how_to",
    "docs/tutorial/first-saga.md": "test_the_tutorial_goes_as_it_says",
    "docs/how-to/run-with-compose.md": "needs Docker Compose: tests/containers/test_compose.py",
    "docs/how-to/connect-wechat-pay-and-alipay.md": "needs an account with a provider",
    "docs/reference/benchmarks.md": "test_bench",
}

ALL = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(page: str) -> list[str]:
    """Each command of the page, in order: of its consoles, and indented ones."""
    found = [command for command, _ in told(page)]
    return found + re.findall(r"^    ((?:curl|saga|make) .*)$", page, flags=re.MULTILINE)


def is_for_us(command: str) -> bool:
    return re.search(r"(?:^|[\s(])(?:curl|saga|make)\s", f"{command} ") is not None


@pytest.mark.parametrize("file", ALL, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_line_for_a_shell_is_executed_somewhere(file: Path) -> None:
    name = str(file.relative_to(ROOT))

    ours = [command for command in commands(file.read_text()) if is_for_us(command)]

    assert not ours or name in PAGES or name in ELSEWHERE, f"{name} is run by no test: {ours}"


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of one who has a stack of their own."""
    folder = tmp_path_factory.mktemp("pages")
    path = f"{Path(sys.executable).parent}:{environment()['PATH']}"
    variables = {"SAGA_DATA": str(folder / "data"), "TMPDIR": str(folder), "COLUMNS": "200"}
    env = environment(flower=True) | variables | {"PATH": path}
    subprocess.run(["saga", "up", "--detach", "--json"], cwd=ROOT, env=env, check=True)
    yield env
    subprocess.run(["saga", "down"], cwd=ROOT, env=env, check=True, capture_output=True)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_goes_as_it_says(name: str, reader: dict[str, str]) -> None:
    page, how = (ROOT / name).read_text(), PAGES[name]
    left_out = (READERS_OWN, *how.left_out)
    lines = [command for command in commands(page) if not command.startswith(left_out)]
    for word, instead in how.instead.items():
        lines = [line.replace(word, instead) for line in lines]

    done = subprocess.run(
        ["bash", "-c", "\n".join(["set -eu -o pipefail", how.before, *lines])],
        cwd=ROOT,
        env=reader,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    check_what_is_shown(
        "\n".join(f"```console\n$ {line}\n```" for line in lines) if how.instead else page,
        done.stdout,
    )


def test_the_tutorial_goes_as_it_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "tutorial" / "first-saga.md").read_text()
    *_, shop = [block for block in blocks(page, "python") if "saga_app = SagaApp(" in block]
    (tmp_path / "shop.py").write_text(shop)
    (tmp_path / "pyproject.toml").write_text('[tool.saga]\napp = "shop:saga_app"\n')
    path = f"{Path(sys.executable).parent}:{environment()['PATH']}"
    env = environment() | {"PATH": path, "SAGA_DATA": str(tmp_path / "data"), "COLUMNS": "200"}
    set_up = ("mkdir shop", "python3 -m venv", "pip install", "saga show 1", "saga why 4")
    lines = [command for command, _ in told(page) if not command.startswith(set_up)]
    done = subprocess.run(
        ["bash", "-c", "\n".join(["set -eu -o pipefail", *lines, "saga up --detach"])],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        listed = subprocess.run(
            ["saga", "list", "--json"], cwd=tmp_path, env=env, capture_output=True, check=True
        )
    finally:
        subprocess.run(["saga", "down"], cwd=tmp_path, env=env, check=False, capture_output=True)

    assert listed.stdout.count(b'"sale"') == 3
