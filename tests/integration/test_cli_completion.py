"""A shell completes commands, options and values; commands without loading the application."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]

COMPLETE = """
eval "$(saga completion bash)"
COMP_WORDS=({words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_saga_completion saga
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(words: str, **variables: str) -> list[str]:
    """What bash itself offers for the last of the words."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", COMPLETE.format(words=words)],
        cwd=ROOT,
        env={**os.environ, "PATH": path, **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_a_shell_completes_a_command_without_the_application() -> None:
    assert completed("saga li", SAGA_APP="no_such_module:app") == ["list"]


def test_a_shell_completes_an_option_and_a_status() -> None:
    assert completed("saga list --status COMP") == ["COMPENSATED", "COMPENSATING", "COMPLETED"]


def test_a_shell_completes_what_the_application_adds() -> None:
    assert completed("saga start app") == ["app_upload"]
    assert completed("saga seed --pay") == ["--payments"]


def test_an_application_that_cannot_be_loaded_offers_nothing() -> None:
    assert completed("saga start pay", SAGA_APP="no_such_module:app") == []
