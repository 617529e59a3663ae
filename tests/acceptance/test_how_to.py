"""The how-to pages run word by word, in one shell each, and say what they show."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.test_stack import environment

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
HOW_TO = ROOT / "docs" / "how-to"
ENDED = re.compile(r"^the saga is ([A-Z]+)$", flags=re.MULTILINE)
# A reader's shell has this; here the commands are on the PATH.
READERS_OWN = ". .venv/bin/activate"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


def is_open(command: str) -> bool:
    """Whether the next line still belongs to the command: it goes on, or bash waits for a quote."""
    if command.endswith("\\"):
        return True
    read = subprocess.run(
        ["bash", "-n", "-c", command], capture_output=True, text=True, check=False
    )
    return "unexpected EOF" in read.stderr


def told(page: str) -> Iterator[tuple[str, str]]:
    """Each command of the page, with what it is shown to print, if that is shown."""
    for block in blocks(page, "console"):
        for entry in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            first, *lines = entry.splitlines()
            while is_open(first):
                first = f"{first}\n{lines.pop(0)}"
            yield first, " ".join(lines)


def pattern(shown: str) -> str:
    """What is shown as a pattern: any time for a time, anything for an ellipsis."""
    anywhere = re.escape(" ".join(shown.split())).replace("…", ".*?")
    # A time of another day, such as shortly before midnight, is told with its date.
    any_time = r"(?:\\d+-\\d\\d-\\d\\d )?\\d+:\\d\\d:\\d\\d"
    return re.sub(r"\d+:\d\d:\d\d", any_time, anywhere)


def run(page: str, folder: Path, data: Path) -> str:
    """Run the page in one shell, which ends at the first command that fails; what it printed."""
    commands = [command for command, _ in told(page) if command != READERS_OWN]
    env = environment() | {"SAGA_DATA": str(data), "COLUMNS": "200"}
    # A reader has more time for the retries of what fails.
    env["PAYMENT_REFUND_FIRST_RETRY_SECONDS"] = "1"
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    try:
        done = subprocess.run(
            ["bash", "-c", "\n".join(["set -eu -o pipefail", *commands])],
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=560,
        )
    finally:
        subprocess.run(["saga", "down"], cwd=folder, env=env, check=False, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_what_is_shown(page: str, printed: str) -> None:
    plain = " ".join(printed.split())
    for command, shown in told(page):
        assert not shown or re.search(pattern(shown), plain), f"{command} does not print: {shown}"


def test_waiting_for_a_callback_goes_as_its_page_says(tmp_path: Path) -> None:
    page = (HOW_TO / "wait-for-a-callback.md").read_text()
    [code] = [block for block in blocks(page, "python") if "saga_app = SagaApp(" in block]
    (tmp_path / "shop.py").write_text(code)
    (tmp_path / "pyproject.toml").write_text('[tool.saga]\napp = "shop:saga_app"\n')

    printed = run(page, tmp_path, tmp_path / "data")

    check_what_is_shown(page, printed)
    assert ENDED.findall(printed) == ["COMPLETED", "COMPENSATED"]


def test_repairing_a_failed_saga_goes_as_its_page_says(tmp_path: Path) -> None:
    page = (HOW_TO / "repair-a-failed-saga.md").read_text()

    printed = run(page, ROOT, tmp_path / "data")

    check_what_is_shown(page, printed)
    assert ENDED.findall(printed) == [
        *("FAILED", "COMPLETED"),
        *("FAILED", "FAILED", "COMPENSATED"),
        *("COMPLETED", "COMPLETED"),
    ]


def test_uploading_an_application_goes_as_its_page_says(tmp_path: Path) -> None:
    page = (HOW_TO / "upload-an-application.md").read_text()

    printed = run(page, ROOT, tmp_path / "data")

    check_what_is_shown(page, printed)
    assert ENDED.findall(printed) == ["COMPLETED"]
