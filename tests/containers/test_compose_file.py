"""What docker-compose.yml asks of its user. No engine is needed."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from gateways.payments.sandbox.merchant import environment
from tests.containers.composition import EXAMPLE, FILE, PROJECT, fill_in

DOCKERFILE = PROJECT / "Dockerfile"
USED = re.findall(r"(?<!\$)\$\{([A-Z_]+)(:.)?", FILE.read_text())
REQUIRED = sorted({name for name, given in USED if given == ":?"})


def _config(command: list[str], variables: dict[str, str], folder: Path) -> tuple[int, str]:
    """Give how `config` ended, and what it complained of."""
    env_file = folder / ".env"
    env_file.write_text("".join(f"{name}={text}\n" for name, text in variables.items()))
    done = subprocess.run(
        [*command, "--env-file", str(env_file), "--file", str(FILE), "config"],
        env={name: text for name, text in os.environ.items() if name not in dict(USED)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def test_a_filled_in_example_is_all_that_compose_needs(
    compose_command: list[str], tmp_path: Path
) -> None:
    code, said = _config(compose_command, fill_in(EXAMPLE.read_text()), tmp_path)

    assert (code, said) == (0, "")


@pytest.mark.parametrize("name", REQUIRED)
def test_compose_says_what_to_do_about_a_missing_secret(
    compose_command: list[str], tmp_path: Path, name: str
) -> None:
    code, said = _config(compose_command, fill_in(EXAMPLE.read_text()) | {name: ""}, tmp_path)

    assert code != 0
    assert "write one into .env" in said


def test_what_is_a_secret_has_no_default_anywhere() -> None:
    empty = set(re.findall(r"^([A-Z_]+)=$", EXAMPLE.read_text(), flags=re.MULTILINE))

    assert empty == set(REQUIRED) - {"FLOWER_USER"}
    assert not [name for name, given in USED if name in REQUIRED and given != ":?"]


def test_the_example_names_every_variable() -> None:
    named = set(re.findall(r"^#?([A-Z_]+)=", EXAMPLE.read_text(), flags=re.MULTILINE))

    assert named == set(dict(USED))


def test_the_example_shows_the_defaults() -> None:
    shown = dict(re.findall(r"^#([A-Z_]+)=(.+)$", EXAMPLE.read_text(), flags=re.MULTILINE))

    assert shown == dict(re.findall(r"\$\{([A-Z_]+):-([^}]+)\}", FILE.read_text()))


def test_git_never_takes_the_secrets() -> None:
    assert ".env" in (PROJECT / ".gitignore").read_text().splitlines()


def test_everything_listens_on_loopback_alone() -> None:
    ports = re.findall(r"^ +- (\S+):\d+$", FILE.read_text(), flags=re.MULTILINE)

    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_a_volume_that_is_shared_belongs_to_the_images_user() -> None:
    """A volume of Docker's is root's, unless the image has its folder already."""
    mounted = set(re.findall(r"^ +- [a-z]+:(/[a-z]+)(?::ro)?$", FILE.read_text(), re.MULTILINE))

    [folders] = re.findall(r"--owner saga --group saga (.+)$", DOCKERFILE.read_text(), re.MULTILINE)

    assert mounted - {"/var/lib/postgresql/data"} == set(folders.split())


def test_all_that_refund_are_the_sandboxs_merchant() -> None:
    said = dict(re.findall(r'^  ([A-Z0-9_]+): "?([^"\n]+?)"?$', FILE.read_text(), re.MULTILINE))

    merchant = environment("http://sandbox:8090", Path("/keys"))

    assert {name: said.get(name, "") for name in merchant} == merchant
