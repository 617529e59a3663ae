"""``saga watch``: live, over a saga that is worked while it is watched."""

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from saga import views
from saga.cli import watch
from saga.cli.local import Local
from saga.filter import Filter
from tests.integration.desk import Desk
from tests.integration.shop import Shop

pytestmark = pytest.mark.integration


@pytest.fixture
def desk(shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(watch, "_EVERY", timedelta(milliseconds=20))
    return Desk(shop, capsys, monkeypatch)


@pytest.fixture
def worker(shop: Shop) -> Iterator[threading.Thread]:
    """Works slowly, once it is started, beside whoever watches."""

    def work() -> None:
        while shop.broker.queue:
            time.sleep(0.05)
            shop.deliver()

    thread = threading.Thread(target=work)
    yield thread
    thread.join()


def test_a_saga_is_watched_until_it_rests(shop: Shop, desk: Desk, worker: threading.Thread) -> None:
    saga_id = shop.start()
    worker.start()

    told = desk.lines("watch", saga_id)

    assert [event["kind"] for event in told] == shop.kinds(saga_id)
    assert told[-1]["kind"] == "completed"


def test_on_a_terminal_a_saga_is_shown_whole_and_again_as_it_goes_on(
    shop: Shop, desk: Desk, worker: threading.Thread
) -> None:
    saga_id = shop.start(business_key="[/]tea")
    desk.at_a_terminal()
    worker.start()

    said = desk.says("watch", saga_id)

    began, ended = said.index(f"{saga_id} is RUNNING"), said.rindex(f"{saga_id} is COMPLETED")
    assert began < said.index("not started") < ended, "it was redrawn"
    assert "[/]tea" in said[ended:]
    assert "not started" not in said[ended:]
    assert "the saga is COMPLETED" in said[ended:], "its newest events"
    for line in desk.lines("watch", saga_id):
        assert line["seq"], "programs are told as ever"


def test_a_failed_saga_is_the_end_too(shop: Shop, desk: Desk) -> None:
    shop.script.say("book", *[ValueError("no ink")] * 4)
    saga_id = shop.start()
    shop.work_off()

    said = desk.says("watch", saga_id)

    assert "book #4: the saga is FAILED: shop.book did not succeed in 4 attempts" in said
    assert said.endswith("the saga is FAILED\n")


def test_long_stories_are_read_in_pieces(
    shop: Shop, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = views.events_after
    monkeypatch.setattr(views, "events_after", lambda *given: whole(*given, most=2))
    saga_id = shop.start()
    shop.work_off()

    assert [event["seq"] for event in desk.lines("watch", saga_id)] == list(
        range(1, shop.row(saga_id)["version"] + 1)
    )


def test_what_cannot_be_watched(desk: Desk) -> None:
    desk.fails(3, "watch", uuid4())
    desk.fails(3, "watch", "no-such-id")
    desk.fails(2, "watch", uuid4(), "--type=shop")
    desk.fails(2, "watch", "--status=LOST")
    desk.fails(2, "watch", "--limit=0")


def test_a_list_tells_each_change_and_what_left_it(shop: Shop, desk: Desk) -> None:
    del desk  # its clock is wanted
    first = str(shop.start())
    changes = watch._changes(Local(shop.engine), Filter(status="RUNNING"))

    def following(count: int) -> list[tuple[Any, Any]]:
        told = [next(changes) for _ in range(count)]
        return [(saga["sagaId"], saga["status"]) for saga in told]

    assert following(1) == [(first, "RUNNING")]
    second = str(shop.start())
    assert following(1) == [(second, "RUNNING")]
    shop.work_off()
    assert set(following(2)) == {(first, "COMPLETED"), (second, "COMPLETED")}


def test_ctrl_c_ends_a_list_well(shop: Shop, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    saga_id = shop.start()

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "_wait", interrupted)

    [told] = desk.lines("watch", "--type=shop")
    said = desk.says("watch")

    assert told["sagaId"] == str(saga_id)
    assert f"{saga_id} RUNNING shop reserve" in said
