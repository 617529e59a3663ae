"""The console's pages of definitions, and pauses of types and steps made there."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from saga import Operator
from saga.access import Role
from saga.access.audit import list_audit
from saga.counts import count_versions
from saga.queries import active_pauses
from tests.integration.consoles import Guest, at, key_of, opened, text_of
from tests.integration.shop import Shop

pytestmark = pytest.mark.integration

NASTY = "<script>alert(1)</script>" + "x" * 400


@pytest.fixture
def address(shop: Shop) -> Iterator[str]:
    """The console of a process that knows two versions of the shop."""
    shop.execute("DELETE FROM saga_key")
    shop.execute("DELETE FROM saga_audit")
    newer = replace(shop.saga, version=2, sensitive=("item",), steps=shop.saga.steps[:4])
    with opened(shop.engine_for(shop.saga, newer)) as address:
        yield address


@pytest.fixture
def ann(shop: Shop, address: str) -> Iterator[Guest]:
    with at(address) as guest:
        yield guest.log_in(key_of(shop.engine, Role.OPERATOR, "Ann").secret)


@pytest.fixture
def bob(shop: Shop, address: str) -> Iterator[Guest]:
    with at(address) as guest:
        yield guest.log_in(key_of(shop.engine, Role.OPERATOR, "Bob").secret)


@pytest.fixture
def vera(shop: Shop, address: str) -> Iterator[Guest]:
    with at(address) as guest:
        yield guest.log_in(key_of(shop.engine, Role.VIEWER, "Vera").secret)


def paused(shop: Shop) -> list[str]:
    with shop.database.connect() as connection:
        return [pause.step or pause.saga_type for pause in active_pauses(connection)]


def test_a_definition_is_told_with_its_picture_limits_and_older_versions(vera: Guest) -> None:
    gallery, page = vera.get("/definitions"), vera.get("/definitions/shop")

    assert gallery.text.count('class="saga-graph"') == 1
    assert "4 steps · timeout 5 min" in text_of(gallery)
    said = text_of(page)
    assert "shop. pay pivot external" in said
    assert "3 retries after 2 s, 4 s, 8 s 5 s for one call" in said
    assert "find_pay “did not happen” is believed 40 s after a call" in said
    assert "release transactional · 2 retries after 2 s, 4 s" in said
    assert "Sensitive fields item" in said
    assert page.text.count('class="saga-graph"') == 2, "the older version has a picture too"
    assert "style=" not in page.text + gallery.text
    assert "<style" not in page.text + gallery.text


def test_open_sagas_are_counted_by_version_and_versions_unknown_here_are_told(
    shop: Shop, vera: Guest
) -> None:
    shop.start()
    shop.work_off()
    for saga_type, version in [("shop", 1), ("shop", 2), ("shop", 2), ("shop", 7), ("barter", 1)]:
        shop.execute(
            "UPDATE saga_state SET saga_type = :type, definition_version = :version "
            "WHERE saga_id = :saga_id",
            {"type": saga_type, "version": version, "saga_id": str(shop.start())},
        )

    with shop.database.connect() as connection:
        counted = count_versions(connection)
    gallery, page = text_of(vera.get("/definitions")), text_of(vera.get("/definitions/shop"))
    unknown = vera.get("/definitions/barter")

    assert counted == {("shop", 1): 1, ("shop", 2): 2, ("shop", 7): 1, ("barter", 1): 1}
    flying = "version 7 1 open · not known here version 2 2 open version 1 1 open"
    assert flying in gallery
    assert flying in page
    assert "are FAILED. Deploy a worker that knows it." in page
    assert "Not known here These types have open sagas" in gallery
    assert unknown.status_code == 404
    assert "sagas of it are open (1); there are: shop" in text_of(unknown)


def test_a_definition_that_does_not_exist_is_told_with_those_that_do(vera: Guest) -> None:
    answer = vera.get("/definitions/%3Cb%3E" + "x" * 5_000)

    assert answer.status_code == 404
    assert "there are: shop" in text_of(answer)
    assert "<b>x" not in answer.text
    assert "there are: shop" in text_of(vera.get("/definitions/sale"))


def test_a_step_is_paused_and_resumed_with_a_reason_that_everybody_reads(
    shop: Shop, ann: Guest, vera: Guest
) -> None:
    answer = ann.send("/definitions/shop/pause", step="shop.pay", reason=NASTY)

    assert answer.status_code == 303
    assert answer.headers["location"] == "/console/definitions/shop?done=pause"
    assert paused(shop) == ["shop.pay"]
    page = vera.get("/definitions/shop")
    assert "paused the step pay “<script>alert(1)</script>xxx" in text_of(page)
    assert "<script>alert" not in page.text
    assert "Ann," in text_of(page)
    assert "1 step paused" in text_of(vera.get("/definitions"))

    answer = ann.send("/definitions/shop/resume", step="shop.pay", reason="it is up again")

    assert answer.status_code == 303
    assert paused(shop) == []
    with shop.database.connect() as connection:
        audited = list_audit(connection)["items"]
    assert [(each["actor"], each["action"]) for each in audited[:2]] == [
        ("Ann", "resume"),
        ("Ann", "pause"),
    ]


def test_of_two_who_pause_at_once_the_second_is_told_who_was_first_and_why(
    shop: Shop, ann: Guest, bob: Guest
) -> None:
    ann.send("/definitions/shop/pause", step="", reason="WeChat is down")

    second = bob.send("/definitions/shop/pause", step="", reason="it is down, I hear")

    assert second.status_code == 409
    assert "Ann paused all of shop already" in text_of(second)
    assert "“WeChat is down”. You have changed nothing." in text_of(second)
    assert ">it is down, I hear</textarea>" in second.text, "nothing of what was typed is lost"
    assert paused(shop) == ["shop"]

    ann.send("/definitions/shop/resume", step="", reason="up again")
    late = bob.send("/definitions/shop/resume", step="", reason="it is up, I hear")

    assert late.status_code == 409
    assert "Ann resumed all of shop already" in text_of(late)
    assert "Your reason was: “it is up, I hear”" in text_of(late)


def test_a_pause_without_a_reason_or_of_a_step_that_there_is_not_is_refused_and_kept(
    shop: Shop, ann: Guest
) -> None:
    empty = ann.send("/definitions/shop/pause", step="shop.pay", reason="  ")
    stranger = ann.send("/definitions/shop/pause", step="shop.smile", reason="why not")
    Operator(shop.engine, actor="Ann").pause_type("shop", reason="so")
    resumed = ann.send("/definitions/shop/resume", step="", reason="x" * 501)

    assert (empty.status_code, stranger.status_code, resumed.status_code) == (422, 422, 422)
    assert "reason must say something" in text_of(empty)
    assert '<option value="shop.pay" selected>' in empty.text
    assert "'shop.smile' is none of shop.reserve" in text_of(stranger)
    assert ">why not</textarea>" in stranger.text
    assert f">{'x' * 501}</textarea>" in resumed.text
    assert paused(shop) == ["shop"]


def test_a_viewer_sees_no_form_and_may_not_send_one(shop: Shop, vera: Guest) -> None:
    Operator(shop.engine, actor="Ann").pause_type("shop", reason="so")

    page = vera.get("/definitions/shop")
    answer = vera.send("/definitions/shop/resume", step="", reason="please")

    assert "/definitions/shop/" not in page.text
    assert answer.status_code == 403
    assert paused(shop) == ["shop"]


def test_an_application_without_definitions_says_so(shop: Shop) -> None:
    with opened(shop.engine_for()) as address, at(address) as guest:
        said = text_of(guest.log_in().get("/definitions"))

    assert "The application that is loaded here defines no sagas." in said
