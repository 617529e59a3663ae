"""The overview tells what needs a person first, then what was done lately, then what is alive."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta

import pytest

from saga import NeedsPerson, Operator
from saga.access import Role
from saga.followup import Lane
from saga.roll import Worker
from saga.streams import Pace
from tests.integration.consoles import Guest, at, key_of, opened, text_of
from tests.integration.shop import Shop

pytestmark = pytest.mark.integration

QUICK = Pace(look=timedelta(milliseconds=20), longest=timedelta(seconds=20))
NASTY = "<script>alert(1)</script>" + "x" * 10_000
ANN = Worker(name="ann@home", queues=(*Lane, "saga.recovery"), active=2)

Open = Callable[..., AbstractContextManager[Guest]]


@pytest.fixture
def console(shop: Shop) -> Open:
    """Opens the console of a viewer; ``workers`` are those that answer."""
    shop.execute("DELETE FROM saga_key")
    shop.execute("DELETE FROM saga_pulse")

    @contextmanager
    def enter(workers: Sequence[Worker] | None = (), role: Role = Role.OPERATOR) -> Iterator[Guest]:
        with (
            opened(shop.engine, workers=lambda: workers, pace=QUICK) as address,
            at(address) as guest,
        ):
            yield guest.log_in(key_of(shop.engine, role, "Vera").secret)

    return enter


def beat(shop: Shop, age: str) -> None:
    shop.execute(
        "INSERT INTO saga_pulse (name, at) "
        "VALUES ('recovery', clock_timestamp() - CAST(:age AS interval))",
        {"age": age},
    )


def test_where_all_is_well_it_is_said_calmly(shop: Shop, console: Open) -> None:
    shop.start()
    beat(shop, "1 second")
    with console([ANN]) as guest:
        page = guest.get("/")

    said = text_of(page)
    assert page.status_code == 200
    assert "Nothing needs a person." in said
    assert "1 RUNNING" in said
    assert "1 started" in said
    assert "One worker answers. ann@home 2 in hand" in said
    assert "saga doctor" not in said
    assert page.text.count("<h1>") == 1
    assert "style=" not in page.text


def test_what_needs_a_person_comes_first_and_leads_to_it(shop: Shop, console: Open) -> None:
    shop.script.say("book", NeedsPerson(NASTY))
    failed = shop.start(business_key="order:<b>1</b>")
    shop.work_off()
    paused = shop.start()
    ann = Operator(shop.engine, actor="Ann")
    ann.pause(paused, reason="<em>the bank</em> is down")
    ann.pause_type("shop", reason="<u>a new bank</u>", step="shop.reserve")
    with console() as guest:
        page = guest.get("/")

    said = text_of(page)
    assert "Nothing needs a person" not in said
    assert said.index("1 FAILED") < said.index("1 paused") < said.index("The last hour")
    for saga_id in (failed, paused):
        assert f'href="/console/sagas/{saga_id}"' in page.text
    assert 'href="/console/definitions/shop"' in page.text
    assert "Ann: <em>the bank</em> is down" in said
    assert "Ann: <u>a new bank</u>" in said
    assert not re.search(r"<(script|b|em|u)>", page.text)
    assert "x" * 300 not in page.text


def test_a_group_shows_its_oldest_and_leads_to_all_of_them(shop: Shop, console: Open) -> None:
    shop.script.say("book", *[NeedsPerson("ask")] * 10)
    sagas = [shop.start() for _ in range(10)]
    shop.work_off(most=200)
    with console() as guest:
        page = guest.get("/")
        others = guest.get("/sagas?status=FAILED")

    shown = [str(one) for one in sagas if f'data-key="failed-{one}"' in page.text]
    assert shown == [str(one) for one in sagas[:8]]
    assert 'href="/console/sagas?status=FAILED"' in page.text
    assert all(str(one) in others.text for one in sagas)


@pytest.mark.parametrize(
    ("age", "workers", "expected"),
    [
        (None, None, ["It has never run. Start beat", "is not known. The broker does not answer."]),
        ("1 minute", [], ["It should run every 2 s.", "No worker answers. Start workers"]),
        (
            "1 second",
            [Worker(name="ann@home", queues=("saga.new",), active=0)],
            ["nobody takes from saga.compensation or saga.continuing or saga.recovery."],
        ),
    ],
)
def test_what_is_not_alive_is_told_with_what_to_do(
    shop: Shop,
    console: Open,
    age: str | None,
    workers: Sequence[Worker] | None,
    expected: list[str],
) -> None:
    saga_id = shop.start()
    late = "UPDATE saga_state SET wake_at = now() - interval '2 min' WHERE saga_id = :saga_id"
    shop.execute(late, {"saga_id": saga_id})
    if age is not None:
        beat(shop, age)
    with console(workers) as guest:
        said = text_of(guest.get("/"))

    assert "Nothing needs a person" not in said
    for sentence in (*expected, "Does a transaction keep rows locked?", "saga doctor tells more"):
        assert sentence in said


def test_a_type_of_any_name_is_told_and_leads_to_its_sagas(shop: Shop, console: Open) -> None:
    saga_id = shop.start()
    name = {"saga_id": saga_id, "name": f"a&b=<b>{NASTY}"[:2_000]}
    shop.execute("UPDATE saga_state SET saga_type = :name WHERE saga_id = :saga_id", name)
    with console() as guest:
        page = guest.get("/")

    assert "not known here" in text_of(page)
    assert 'href="/console/sagas?type=a%26b%3D%3Cb%3E' in page.text
    assert "<script>alert" not in page.text


def test_who_may_not_see_all_reads_no_secret_of_an_unknown_definition(
    shop: Shop, console: Open
) -> None:
    shop.script.say("book", NeedsPerson("the number is 4711"))
    saga_id = shop.start()
    shop.work_off()
    strange = "UPDATE saga_state SET definition_version = 99 WHERE saga_id = :saga_id"
    shop.execute(strange, {"saga_id": saga_id})
    with console(role=Role.VIEWER) as guest:
        masked = guest.get("/")
    with console(role=Role.OPERATOR) as guest:
        whole = guest.get("/")

    assert "1 FAILED" in text_of(masked)
    assert "4711" not in masked.text
    assert "4711" in whole.text


def test_an_open_page_is_told_when_a_saga_is_started(shop: Shop, console: Open) -> None:
    with console() as guest:
        [live] = re.findall(r'data-live="/console([^"]+)"', guest.get("/").text)
        shop.start()
        with guest.client.stream("GET", f"/console{live}") as stream:
            lines = stream.iter_lines()

            assert "event: changed" in (next(lines) for _ in range(8))
