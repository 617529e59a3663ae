"""The ``saga`` command on a real database and a real provider, with no broker and no worker."""

import getpass
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import Engine as Database

from saga import connect, schema
from tests import nursery
from tests.conftest import PROJECT, administer

NOBODY = "redis://127.0.0.1:1/0"


@dataclass(frozen=True)
class Shell:
    """Runs commands, as a person who set these variables would."""

    environment: dict[str, str]
    folder: Path = PROJECT

    def run(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        command = ("-m", "saga.cli", *words)
        return nursery.run(*command, cwd=self.folder, env=self.environment, given=given)

    def json(self, *words: str, given: str = "") -> Any:
        done = self.run(*words, "--json", given=given)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def fails(self, code: int, *words: str, given: str = "") -> str:
        done = self.run(*words, given=given)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stderr

    def paid(self, **options: str) -> dict[str, Any]:
        given = {"method": "balance", **options}
        words = [f"--{name}={value}" for name, value in given.items()]
        [payment] = self.json("seed", *words)["payments"]
        return dict(payment)

    def start(self, payment_id: str, amount: Any = "100.00", *more: str) -> dict[str, Any]:
        return dict(
            self.json("start", "payment_refund", "--input", asked(payment_id, amount), *more)
        )


def asked(payment_id: str, amount: Any = "100.00") -> str:
    return json.dumps({"paymentId": payment_id, "amount": amount, "reason": "a test"})


def environment(**variables: str) -> dict[str, str]:
    ours = ("DATABASE_URL", "CELERY_BROKER_URL", "SANDBOX_URL", "SAGA_", "PAYMENT_")
    ours += ("WECHATPAY_", "ALIPAY_")
    clean = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
    return clean | {"PYTHONPATH": str(PROJECT)} | variables


@pytest.fixture
def shell(database_url: str) -> Shell:
    return Shell(environment(DATABASE_URL=database_url, CELERY_BROKER_URL=NOBODY))


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[str]:
    """The URL of a sandbox provider."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    module = ["-m", "gateways.payments.sandbox", "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *module, "--books", str(tmp_path / "books.sqlite")],
            cwd=PROJECT,
            stdout=log,
            stderr=log,
        )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{url}/healthz", trust_env=False)
            break
        except httpx.TransportError:
            time.sleep(0.05)
    yield url
    process.kill()
    process.wait()


def test_seeded_payments_are_paid_for_and_known_to_the_provider(
    shell: Shell, provider: str, database: Database
) -> None:
    told = Shell({**shell.environment, "SANDBOX_URL": provider})

    made = told.json("seed", "--payments=2", "--amount=10.5", "--method=alipay")["payments"]

    names = "id paymentNo orderId userId method currency amount refundedAmount status"
    assert [set(payment) for payment in made] == [set(names.split())] * 2
    assert {payment["paymentNo"] for payment in made} != {made[0]["paymentNo"]}
    for payment in made:
        assert payment["paymentNo"].startswith("PAY")
        assert payment["paymentNo"][3:].isdigit()
        assert (payment["amount"], payment["refundedAmount"]) == ("10.50", "0.00")
        assert (payment["method"], payment["status"]) == ("alipay", "success")
        # The provider refuses to learn a payment again with another amount or method.
        notice = {name: payment[name] for name in ("paymentNo", "amount", "method")}
        for amount, status in (("10.50", 200), ("10.51", 409)):
            body = {"payments": [notice | {"amount": amount}]}
            answer = httpx.post(f"{provider}/control/payments", json=body, trust_env=False)
            assert answer.status_code == status
    with database.connect() as connection:
        orders = connection.exec_driver_sql("SELECT id, status, amount_minor FROM orders").all()
    assert sorted(orders) == sorted((payment["orderId"], "paid", 1050) for payment in made)


def test_without_its_provider_nothing_is_seeded(shell: Shell, database: Database) -> None:
    assert "SANDBOX_URL" in shell.fails(1, "seed", "--method=wechat")

    with database.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM orders").scalar_one() == 0


@pytest.mark.parametrize(
    "wrong",
    ["--amount=0", "--amount=1000000.01", "--amount=nan"],
)
def test_an_amount_that_cannot_be_paid_is_named(shell: Shell, wrong: str) -> None:
    assert "amount" in shell.fails(2, "seed", "--method=balance", wrong)


def test_a_wrong_number_or_method_is_a_wrong_usage(shell: Shell) -> None:
    shell.fails(2, "seed", "--method=balance", "--payments=0")
    shell.fails(2, "seed", "--method=cash")


def test_a_saga_that_is_started_without_a_broker_is_listed_shown_and_explained(
    shell: Shell,
) -> None:
    payment = shell.paid()
    started = shell.start(payment["id"])
    saga_id = started["sagaId"]

    assert set(started) == {"sagaId", "status"}
    assert started["status"] == "RUNNING"
    [listed] = shell.json("list", "--status=running", "--type=payment_refund")["items"]
    shown = shell.json("show", saga_id)
    assert listed["sagaId"] == saga_id
    assert listed["businessKey"] == f"payment:{payment['id']}"
    assert shown["saga"] == listed
    assert [step["role"] for step in shown["steps"]] == [
        "compensatable",
        "pivot",
        "retriable",
        "retriable",
    ]
    whose = [(event["kind"], event["actor"]) for event in shown["events"]]
    assert whose == [("started", getpass.getuser())]
    assert shell.json("why", saga_id) == {"sagaId": saga_id, "why": shown["why"]}
    for command in (["list"], ["show", saga_id]):
        assert saga_id in shell.run(*command).stdout
    assert shown["why"] in shell.run("why", saga_id).stdout


def test_lists_are_filtered_and_come_by_pages(shell: Shell) -> None:
    keys = [f"payment:{shell.paid()['id']}" for _ in range(3)]
    for key in keys:
        shell.start(key.removeprefix("payment:"))

    first = shell.json("list", "--limit=2")
    second = shell.json("list", "--limit=2", f"--cursor={first['nextCursor']}")

    found = [saga["businessKey"] for saga in (*first["items"], *second["items"])]
    assert found == keys[::-1]
    assert second["nextCursor"] is None
    assert len(shell.json("list", f"--key={keys[0]}")["items"]) == 1
    assert len(shell.json("list", f"--q={keys[0][8:20]}")["items"]) == 1
    assert shell.json("list", "--status=FAILED")["items"] == []
    assert shell.json("list", "--step=payment_refund.update_order_status")["items"] == []
    assert shell.json("list", "--since=2100-01-01")["items"] == []
    assert len(shell.json("list", "--until=2100-01-01")["items"]) == 3
    for wrong in (
        "--limit=501",
        "--status=GONE",
        "--since=soon",
        "--retries=0",
        "--error=a\nb" * 200,
    ):
        assert wrong[2:].partition("=")[0] in shell.fails(2, "list", wrong)
    assert "olderThan" in shell.fails(2, "list", "--older-than=soon")


def test_a_list_is_narrowed_by_error_retries_age_and_pause(shell: Shell) -> None:
    shell.start(shell.paid()["id"])

    def found(*options: str) -> int:
        return len(shell.json("list", *options)["items"])

    assert found("--older-than=0s", "--status=RUNNING", "--status=FAILED") == 1
    for options in (["--error=Refused"], ["--retries=1"], ["--paused"], ["--older-than=1d"]):
        assert found(*options) == 0
    assert "no sagas" in shell.run("list", "--paused").stdout


def test_sagas_are_counted_by_type_and_status(shell: Shell) -> None:
    assert shell.json("list", "--counts")["counts"] == {}
    assert "no sagas" in shell.run("list", "--counts").stdout
    for _ in range(2):
        shell.start(shell.paid()["id"])

    counted = shell.json("list", "--counts")

    assert set(counted) == {"counts", "since"}
    assert counted["counts"] == {"payment_refund": {"RUNNING": 2}}
    told = shell.run("list", "--counts").stdout
    assert "payment_refund" in told
    assert "RUNNING" in told
    assert "type" in shell.fails(2, "list", "--counts", "--type=payment_refund")


def test_an_input_that_is_wrong_names_its_field_and_starts_nothing(shell: Shell) -> None:
    payment_id = shell.paid()["id"]

    def refuses(code: int, payment: str, amount: Any) -> str:
        return shell.fails(code, "start", "payment_refund", "--input", asked(payment, amount))

    amounts = (0, "-1", "1.001", "NaN", "text", "100.01", None, float("nan"))
    given = "\n".join(asked(payment_id, amount) for amount in amounts)
    said = shell.run("start", "payment_refund", "--input", "@-", "--json", given=given).stdout
    errors = [json.loads(line)["error"] for line in said.splitlines()]
    assert len(errors) == len(amounts)
    assert all("amount" in error for error in errors)
    assert "amount" in refuses(2, payment_id, "100.01")
    assert "paymentId" in refuses(3, "nobody's", "1.00")
    assert "reason" in shell.fails(2, "start", "payment_refund", "--input", "{}")
    assert "JSON" in shell.fails(2, "start", "payment_refund", "--input", "{")
    assert "payment_refund" in shell.fails(2, "start", "nothing", "--input", "{}")
    shell.fails(2, "start", "payment_refund")
    assert shell.json("list")["items"] == []


def test_a_second_refund_names_the_one_that_runs(shell: Shell) -> None:
    payment_id = shell.paid()["id"]
    running = shell.start(payment_id, "1.00")["sagaId"]

    said = shell.fails(4, "start", "payment_refund", "--input", asked(payment_id, "2.00"))

    assert running in said


def test_a_payment_that_is_not_refundable_is_a_conflict(shell: Shell, database: Database) -> None:
    payment_id = shell.paid()["id"]
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE payments SET status = 'cancelled'")

    assert "cancelled" in shell.fails(4, "start", "payment_refund", "--input", asked(payment_id))


def test_the_same_idempotency_key_is_the_same_saga_and_with_other_input_an_error(
    shell: Shell,
) -> None:
    payment_id = shell.paid()["id"]
    first = shell.start(payment_id, "1.00", "--idempotency-key", "k")

    assert shell.start(payment_id, 1, "--idempotency-key", "k") == first
    other = ["--input", asked(payment_id, "2.00"), "--idempotency-key", "k"]
    assert first["sagaId"] in shell.fails(2, "start", "payment_refund", *other)


def test_a_file_of_lines_starts_what_is_right_and_tells_what_is_not(
    shell: Shell, tmp_path: Path
) -> None:
    ids = [shell.paid()["id"] for _ in range(2)]
    text = "\n".join([asked(ids[0]), "", "{", asked("nobody's"), asked(ids[1])])
    (tmp_path / "refunds").write_text(text)
    command = ["start", "payment_refund", "--input", f"@{tmp_path / 'refunds'}", "--json"]

    done = shell.run(*command, "--idempotency-key=batch")

    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert [line["line"] for line in told] == [1, 3, 4, 5]
    assert [set(line) for line in told] == [
        {"line", "sagaId", "status"},
        {"line", "error"},
        {"line", "error"},
        {"line", "sagaId", "status"},
    ]
    again = shell.run(*command[:-2], "@-", "--json", "--idempotency-key=batch", given=text)
    assert again.stdout == done.stdout
    assert len(shell.json("list")["items"]) == 2
    shell.fails(2, "start", "payment_refund", "--input", "@/nowhere")


def test_what_does_not_exist_is_told_by_its_own_exit_code(shell: Shell) -> None:
    for unknown in (str(uuid4()), "no-id"):
        assert unknown in shell.fails(3, "show", unknown)
        assert unknown in shell.fails(3, "why", unknown)


def test_without_database_or_stack_it_says_how_to_start_one(tmp_path: Path) -> None:
    lost = Shell(environment(SAGA_DATA=str(tmp_path)))

    for command in (["list"], ["doctor"], ["show", str(uuid4())], ["seed"], ["migrate"]):
        assert "saga up" in lost.fails(5, *command)


def test_a_data_folder_that_cannot_be_used_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    shell = Shell(environment())

    for words in (("up", "--detach"), ("up",), ("down",), ("list",)):
        for folder in (tmp_path / "file", tmp_path / "file" / "below"):
            told = shell.fails(1, *words, "--data", str(folder))
            assert told.startswith(f"saga: the data folder {folder} cannot be used: ")
            assert told.count("\n") == 1


def test_a_database_that_does_not_answer_is_told_in_one_line() -> None:
    away = Shell(environment(DATABASE_URL="postgresql://x@127.0.0.1:1/x"))

    said = away.fails(1, "list")

    assert said.startswith("saga: the database does not answer: ")
    assert len(said.splitlines()) == 1


def test_an_empty_database_is_told_to_migrate_and_can_be(shell: Shell, database_url: str) -> None:
    name = f"saga_test_{uuid4().hex}"
    administer(database_url, f"CREATE DATABASE {name} TEMPLATE template0")
    url = database_url.rpartition("/")[0] + f"/{name}"
    empty = Shell({**shell.environment, "DATABASE_URL": url})
    try:
        assert "saga migrate" in empty.fails(1, "list")
        unwell = json.loads(empty.run("doctor", "--json").stdout)
        assert of(unwell, "migrations")["level"] == "bad"

        first, second = empty.json("migrate"), empty.json("migrate")

        assert first == second
        assert first["schema"] == first["newest"] == schema.LATEST
        assert empty.json("list")["items"] == []
    finally:
        administer(database_url, f"DROP DATABASE {name} WITH (FORCE)")


def test_without_an_application_the_engines_tables_alone_are_made(
    database_url: str, tmp_path: Path
) -> None:
    name = f"saga_test_{uuid4().hex}"
    administer(database_url, f"CREATE DATABASE {name} TEMPLATE template0")
    url = database_url.rpartition("/")[0] + f"/{name}"
    bare = Shell(environment(DATABASE_URL=url), folder=tmp_path)
    try:
        assert bare.json("migrate")["application"] is None

        database = connect(url)
        with database.connect() as connection:
            assert schema.version(connection) == schema.LATEST
            missing = "SELECT to_regclass('payments') IS NULL"
            assert connection.exec_driver_sql(missing).scalar_one()
        database.dispose()
    finally:
        administer(database_url, f"DROP DATABASE {name} WITH (FORCE)")


def of(diagnosis: dict[str, Any], name: str) -> dict[str, Any]:
    [check] = [check for check in diagnosis["checks"] if check["name"] == name]
    return dict(check)


def test_the_doctor_says_what_is_missing_and_fails(shell: Shell, database: Database) -> None:
    done = shell.run("doctor", "--json")

    diagnosis = json.loads(done.stdout)
    assert (done.returncode, diagnosis["ok"]) == (1, False)
    assert set(diagnosis["checks"][0]) == {"name", "ok", "level", "detail", "advice"}
    assert [check["name"] for check in diagnosis["checks"] if not check["ok"]] == [
        "recovery",
        "broker",
    ]
    assert of(diagnosis, "database")["ok"]
    assert of(diagnosis, "celery settings")["ok"]
    assert of(diagnosis, "wechat payments")["level"] == "warn"
    assert of(diagnosis, "alipay payments")["level"] == "warn"
    assert "saga.recovery" in shell.run("doctor").stdout
    with database.begin() as connection:
        pulse = "INSERT INTO saga_pulse VALUES ('recovery', clock_timestamp() - interval '1 min')"
        connection.exec_driver_sql(pulse)
    late = json.loads(shell.run("doctor", "--json").stdout)
    assert not of(late, "recovery")["ok"]


def test_the_doctor_counts_sagas_in_trouble(shell: Shell, database: Database) -> None:
    for _ in range(3):
        shell.start(shell.paid()["id"])
    stand = "UPDATE saga_state SET {} WHERE id = (SELECT {}(id) FROM saga_state)"
    with database.begin() as connection:
        late = "wake_at = clock_timestamp() - interval '2 min'"
        connection.exec_driver_sql(stand.format(late, "min"))
        failed = "status = 'FAILED', wake_at = NULL, failed_from = 'RUNNING'"
        connection.exec_driver_sql(stand.format(failed, "max"))

    diagnosis = json.loads(shell.run("doctor", "--json").stdout)

    assert of(diagnosis, "stuck sagas")["level"] == "bad"
    assert of(diagnosis, "failed sagas")["detail"].startswith("1 ")
