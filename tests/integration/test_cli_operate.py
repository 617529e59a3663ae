"""Operators at the command line."""

import io
import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from saga import Wait
from saga.cli import operate
from saga.operator import Operator
from tests.integration.desk import Desk
from tests.integration.shop import Shop
from tests.integration.test_pauses import MINUTE

pytestmark = pytest.mark.integration

WHY = "--reason=looked into it"


@pytest.fixture
def desk(shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(shop, capsys, monkeypatch)


def failed(shop: Shop) -> UUID:
    """A saga that is FAILED past its pivot."""
    shop.script.say("book", *[ValueError("no ink")] * 4)
    saga_id = shop.start()
    shop.work_off()
    assert shop.status(saga_id) == "FAILED"
    return saga_id


def last(shop: Shop, saga_id: UUID, kind: str) -> dict[str, Any]:
    return [event for event in shop.events(saga_id) if event["kind"] == kind][-1]


def test_an_action_is_done_and_told_and_has_the_users_name(shop: Shop, desk: Desk) -> None:
    saga_id = failed(shop)

    told = desk.json("retry", saga_id, WHY)

    assert told == {
        "sagaId": str(saga_id),
        "status": "RUNNING",
        "version": shop.row(saga_id)["version"],
        "allowedActions": ["retry", "pause"],
    }
    event = last(shop, saga_id, "retried")
    assert (event["actor"], event["detail"]["because"]) == ("ann", "looked into it")
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"


def test_the_actor_may_be_named(shop: Shop, desk: Desk) -> None:
    saga_id = shop.start()

    said = desk.says("pause", saga_id, WHY, "--actor", "Bob")

    assert f"saga {saga_id} is RUNNING" in said
    assert "an operator may now: cancel, resume" in said
    assert last(shop, saga_id, "paused")["actor"] == "Bob"
    assert desk.json("resume", saga_id, WHY)["allowedActions"] == ["retry", "cancel", "pause"]
    assert desk.json("cancel", saga_id, WHY)["status"] == "COMPENSATED"


def test_what_is_not_allowed_ends_with_4_and_says_what_is(shop: Shop, desk: Desk) -> None:
    saga_id = failed(shop)

    assert "allowed: retry, compensate, resolve" in desk.fails(4, "cancel", saga_id, WHY)
    stale = desk.fails(4, "retry", saga_id, WHY, "--version=1")
    assert "not at 1" in stale
    assert "allowed: retry, compensate, resolve" in stale


@pytest.mark.parametrize("command", ["retry", "compensate", "cancel", "pause", "resume"])
def test_a_command_that_is_given_wrongly_does_nothing(shop: Shop, desk: Desk, command: str) -> None:
    saga_id = shop.start()
    before = shop.row(saga_id)

    assert "--reason is missing" in desk.fails(2, command, saga_id)
    assert "reason must not be longer than 500" in desk.fails(
        2, command, saga_id, "--reason", "x" * 10_000
    )
    assert "reason must say something" in desk.fails(2, command, saga_id, "--reason", " ")
    assert "which saga" in desk.fails(2, command, WHY)
    assert "no ID" in desk.fails(2, command, saga_id, "--all", WHY)
    assert "Name a filter" in desk.fails(2, command, "--all", WHY)
    assert "no filter" in desk.fails(2, command, saga_id, "--type=shop", WHY)
    desk.fails(3, command, uuid4(), WHY)
    desk.fails(3, command, "no-such-id", WHY)
    assert shop.row(saga_id) == before


def test_a_preview_does_nothing(shop: Shop, desk: Desk) -> None:
    saga_id = failed(shop)
    before = shop.row(saga_id)

    said = desk.says("compensate", saga_id, "--preview")
    told = desk.json("compensate", saga_id, "--preview")

    assert "shop.recall" in said
    assert "a person must decide" in said
    assert [run["step"] for run in told["runs"]] == ["shop.pay", "shop.ship", "shop.reserve"]
    assert shop.row(saga_id) == before


def test_without_a_terminal_compensate_just_does_it(shop: Shop, desk: Desk) -> None:
    saga_id = failed(shop)

    assert desk.json("compensate", saga_id, WHY)["status"] == "FAILED"
    assert shop.row(saga_id)["current_step"] == "shop.pay", "it has no compensation"


@pytest.mark.parametrize(("answer", "done"), [("n\n", False), ("y\n", True)])
def test_on_a_terminal_compensate_asks_after_it_showed_what_would_run(
    shop: Shop, desk: Desk, monkeypatch: pytest.MonkeyPatch, answer: str, *, done: bool
) -> None:
    monkeypatch.setattr(operate, "has_terminal", lambda: True)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    saga_id = failed(shop)

    code, out, err = desk.run("compensate", saga_id, WHY)

    assert "shop.recall" in out
    assert (code, "nothing was done" in err) == ((0, False) if done else (1, True))
    assert (shop.row(saga_id)["failed_from"] == "COMPENSATING") is done


def test_what_was_confirmed_is_done_or_nothing(
    shop: Shop, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hesitating(io.StringIO):
        def readline(self, *_: Any) -> str:
            Operator(shop.engine, actor="Bob").retry(saga_id, reason="quicker")
            return "y\n"

    monkeypatch.setattr(operate, "has_terminal", lambda: True)
    monkeypatch.setattr("sys.stdin", Hesitating())
    saga_id = failed(shop)

    assert "at version" in desk.fails(4, "compensate", saga_id, WHY)
    assert shop.status(saga_id) == "RUNNING"


def test_a_step_may_be_named_short(shop: Shop, desk: Desk) -> None:
    saga_id = failed(shop)
    found = ["resolve", saga_id, "--outcome=done", "--evidence=it is in the books"]

    assert "none of" in desk.fails(2, *found, "--step=nothing")
    told = desk.json(*found, "--step=book", '--state={"item": "coffee"}')

    assert told["status"] == "RUNNING"
    assert shop.row(saga_id)["state"]["item"] == "coffee"
    event = last(shop, saga_id, "resolved")
    assert event["detail"]["step"] == "shop.book"
    assert event["detail"]["because"] == "it is in the books"
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"


def test_long_evidence_is_kept_and_stands_for_the_reason(shop: Shop, desk: Desk) -> None:
    saga_id = failed(shop)
    resolve = ("resolve", saga_id, "--outcome=not_done")

    assert "2000" in desk.fails(2, *resolve, "--evidence", "x" * 2_001)
    for state in ("5", "{", '{"item": "a\\u0000b"}'):
        desk.fails(2, *resolve, "--evidence=so", "--state", state)
    assert desk.json(*resolve, "--evidence", "x" * 2_000)["status"] == "COMPENSATED"
    detail = last(shop, saga_id, "compensated")["detail"]
    assert len(detail["evidence"]) == 2_000
    assert len(detail["because"]) == 500


def test_types_and_steps_are_paused_and_resumed(desk: Desk) -> None:
    pay = {"sagaType": "shop", "step": "shop.pay"}

    assert desk.json("pause", "--type=shop", "--step=pay", WHY) == pay | {"paused": True}
    assert "paused already" in desk.fails(4, "pause", "--type=shop", "--step=pay", WHY)
    [item] = desk.json("pause", "--list")["items"]
    assert (item["step"], item["actor"], item["reason"]) == ("shop.pay", "ann", "looked into it")
    assert "looked into it" in desk.says("pause", "--list")
    assert desk.json("resume", "--type=shop", "--step=pay", WHY) == pay | {"paused": False}
    assert "not paused" in desk.fails(4, "resume", "--type=shop", "--step=pay", WHY)
    assert "no type" in desk.says("pause", "--list")
    assert "market" in desk.fails(2, "pause", "--type=market", WHY)
    assert "none of" in desk.fails(2, "pause", "--type=shop", "--step=nothing", WHY)
    assert "--all" in desk.fails(2, "pause", "--type=shop", "--status=RUNNING", WHY)
    assert "--reason" in desk.fails(2, "pause", "--type=shop")


def test_of_many_each_is_told_and_refused_ones_make_it_1(shop: Shop, desk: Desk) -> None:
    broken = [failed(shop) for _ in range(2)]
    fine = shop.start()

    lines = desk.lines("retry", "--all", "--type=shop", "--status=FAILED,RUNNING", WHY)
    assert lines[-1] == {"acted": 3, "refused": 0, "more": False}
    assert [line["sagaId"] for line in lines[:-1]] == [str(fine), *map(str, reversed(broken))]

    shop.work_off()
    *told, counted = desk.lines("cancel", "--all", "--status=COMPLETED", WHY, "--most=2", code=1)
    assert counted == {"acted": 0, "refused": 2, "more": True}
    assert "allowed: nothing" in told[0]["error"]
    assert desk.lines("retry", "--all", "--type", "shop", WHY) == [
        {"acted": 0, "refused": 0, "more": False}
    ]


def test_many_are_told_to_people_too(shop: Shop, desk: Desk) -> None:
    broken = failed(shop)

    assert f"{broken} is FAILED" in desk.says("compensate", "--all", "--type", "shop", WHY)
    code, out, err = desk.run("cancel", "--all", "--status=FAILED", WHY)
    assert (code, "0 done, 1 refused" in out, "1 of 1 sagas were refused" in err) == (1, True, True)
    assert "is no filter" not in err
    desk.fails(2, "cancel", "--all", "--status=LOST", WHY)
    desk.fails(2, "cancel", "--all", "--most=0", WHY)


def test_on_a_terminal_many_are_counted(shop: Shop, desk: Desk) -> None:
    for _ in range(3):
        shop.start()
    desk.at_a_terminal()

    said = desk.says("pause", "--all", "--type=shop", WHY)

    assert "3/3" in said, "the total is known"
    assert "3 done, 0 refused" in said
    assert desk.lines("resume", "--all", "--type=shop", WHY)[-1]["acted"] == 3


def test_a_signal_is_taken_once(shop: Shop, desk: Desk) -> None:
    shop.script.say("book", Wait(signal="paid", timeout=MINUTE))
    saga_id = shop.start()
    shop.work_off()
    send = ("signal", saga_id, "paid", "--signal-id=1", "--payload", json.dumps({"by": "Ann"}))

    assert desk.json(*send) == {"sagaId": str(saga_id), "signalId": "1", "new": True}
    assert desk.json(*send)["new"] is False
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"
    assert "takes no signals" in desk.fails(4, *send[:3], "--payload", '{"by": "Bob"}')
    assert "payload.by is missing" in desk.fails(2, *send[:3])
    assert "must be a JSON object" in desk.fails(2, *send[:3], "--payload=5")
    assert "is no signal" in desk.fails(2, "signal", saga_id, "gone")
    desk.fails(3, "signal", uuid4(), "paid")


def test_show_tells_what_an_operator_may_do(shop: Shop, desk: Desk) -> None:
    saga_id = failed(shop)

    assert "an operator may now: retry, compensate, resolve" in desk.says("show", saga_id)
    assert desk.json("show", saga_id)["allowedActions"] == ["retry", "compensate", "resolve"]


def test_what_people_write_is_told_as_they_wrote_it(shop: Shop, desk: Desk) -> None:
    saga_id = shop.start(business_key="[/]tea")
    odd = "the [red]bank[/]"

    desk.says("pause", saga_id, "--reason", odd, "--actor", "[/bold]")
    desk.says("pause", "--type=shop", "--reason", odd, "--actor", "[/bold]")

    for command in (("show", saga_id), ("pause", "--list")):
        assert odd in desk.says(*command)
        assert "[/bold]" in desk.says(*command)
    assert "[/]tea" in desk.says("list")
