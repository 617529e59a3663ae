"""pytest-celery, as a user of it would take it: in a run of its own, with its plugins on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800, method="signal")]

HERE = Path(__file__).parent


def test_the_refund_passes_a_smoke_test_of_pytest_celery(image: str, tmp_path: Path) -> None:
    settings = tmp_path / "pytest.ini"
    settings.write_text("[pytest]\nfilterwarnings = error\n")
    # Of a run around it, this one knows nothing.
    environment = {
        name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")
    }

    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-c", str(settings), "--rootdir", str(tmp_path)),
            *("--import-mode=importlib", "--noconftest", "-p", "no:cacheprovider", "-vv"),
            str(HERE / "smoke.py"),
        ],
        cwd=tmp_path,
        env=environment | {"SAGA_IMAGE": image},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
