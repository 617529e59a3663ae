"""``saga graph`` on a real database: a definition by its name, a saga by its id."""

from pathlib import Path
from uuid import uuid4
from xml.etree import ElementTree as ET

import pytest
from sqlalchemy import Engine as Database

from tests.integration.test_cli import NOBODY, Shell, environment

pytestmark = pytest.mark.integration


@pytest.fixture
def shell(database_url: str) -> Shell:
    return Shell(environment(DATABASE_URL=database_url, CELERY_BROKER_URL=NOBODY))


def test_a_definition_is_drawn_without_servers(tmp_path: Path) -> None:
    alone = Shell(environment(SAGA_DATA=str(tmp_path)))

    told = alone.json("graph", "payment_refund")

    assert set(told) == {"mermaid", "svg"}
    assert alone.run("graph", "payment_refund").stdout == told["mermaid"]
    assert alone.run("graph", "payment_refund", "--svg").stdout == told["svg"]
    assert alone.run("graph", "payment_refund", "--version=1").stdout == told["mermaid"]
    assert told["mermaid"].startswith("flowchart TD\n")
    assert ET.fromstring(told["svg"]).tag == "{http://www.w3.org/2000/svg}svg"
    for name in ("call_provider_refund", "find_provider_refund", "restore_payment_status"):
        assert name in told["mermaid"]
        assert name in told["svg"]


def test_a_file_gets_what_its_suffix_or_the_caller_says(tmp_path: Path) -> None:
    alone = Shell(environment(SAGA_DATA=str(tmp_path)))
    told = alone.json("graph", "payment_refund")

    for file, words, written in (
        ("refund.svg", [], "svg"),
        ("refund.mmd", [], "mermaid"),
        ("refund.txt", ["--svg"], "svg"),
        ("other.svg", ["--mermaid"], "mermaid"),
    ):
        done = alone.run("graph", "payment_refund", "-o", str(tmp_path / file), *words)
        assert (done.returncode, done.stdout) == (0, "")
        assert (tmp_path / file).read_text() == told[written]
    for code, file in ((2, "refund.png"), (1, "nowhere/refund.svg")):
        assert file in alone.fails(code, "graph", "payment_refund", "-o", str(tmp_path / file))


def test_a_saga_is_drawn_where_it_stands(shell: Shell, database: Database) -> None:
    saga_id = shell.start(shell.paid()["id"])["sagaId"]

    running = shell.json("graph", saga_id)

    assert saga_id in running["svg"]
    why = shell.json("why", saga_id)["why"].replace("payment_refund.", "")
    assert f"Saga {saga_id} is RUNNING: {why}." in running["svg"]
    assert running["svg"].count('class="card here busy"') == 1
    assert "class step1 here" in running["mermaid"]
    with database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE saga_state SET status = 'FAILED', failed_from = 'RUNNING', wake_at = NULL, "
            "error_message = 'the <provider> is gone'"
        )
    failed = shell.json("graph", saga_id)
    assert failed["svg"].count('class="card here bad"') == 1
    assert "the &lt;provider&gt; is gone" in failed["svg"]
    assert "class failed here" in failed["mermaid"]


def test_what_is_not_there_is_told_with_what_is(shell: Shell, database: Database) -> None:
    sagas = "app_upload, device_creation, device_deletion, payment_refund"
    assert f"there are: {sagas}" in shell.fails(3, "graph", "sale")
    assert "there are: 1" in shell.fails(3, "graph", "payment_refund", "--version=2")
    nobody = str(uuid4())
    assert nobody in shell.fails(3, "graph", nobody)
    saga_id = shell.start(shell.paid()["id"])["sagaId"]
    assert "--version" in shell.fails(2, "graph", saga_id, "--version=1")
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE saga_state SET definition_version = 99")
    said = shell.fails(3, "graph", saga_id)
    assert "payment_refund" in said
    assert "this process does not know" in said
    assert "payment_refund version 1" in said
