"""The console's door, its pages, and what is done there to one saga."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from saga import PollAgain, Refused
from saga.access import Role, keys
from saga.access.audit import list_audit
from saga.console import session
from saga.filter import MOST
from saga.operator import Operator
from saga.streams import Pace
from tests.integration.consoles import KEY, Guest, at, front, key_of, opened, text_of
from tests.integration.served import served
from tests.integration.shop import Shop

pytestmark = pytest.mark.integration

QUICK = Pace(look=timedelta(milliseconds=20), longest=timedelta(seconds=20))
NASTY = "<script>alert(1)</script>" + "x" * 10_000


@pytest.fixture
def address(shop: Shop) -> Iterator[str]:
    shop.execute("DELETE FROM saga_key")
    shop.execute("DELETE FROM saga_audit")
    with opened(shop.engine, flower_url="http://flower.test/", pace=QUICK) as address:
        yield address


@pytest.fixture
def operator(shop: Shop, address: str) -> Iterator[Guest]:
    with at(address) as guest:
        yield guest.log_in(key_of(shop.engine, Role.OPERATOR, "Ann").secret)


@pytest.fixture
def viewer(shop: Shop, address: str) -> Iterator[Guest]:
    with at(address) as guest:
        yield guest.log_in(key_of(shop.engine, Role.VIEWER, "Vera").secret)


def failed(shop: Shop) -> UUID:
    """A saga that is FAILED past its pivot."""
    shop.script.say("tell", *[Refused("the customer is gone")] * 3)
    saga_id = shop.start()
    shop.work_off()
    assert shop.status(saga_id) == "FAILED"
    return saga_id


def happened(shop: Shop, saga_id: UUID, **told: str) -> None:
    """One more event, of whatever anybody may have said."""
    shop.execute(
        "WITH moved AS (UPDATE saga_state SET version = version + 1 WHERE saga_id = :saga_id "
        "RETURNING saga_id, version, epoch) INSERT INTO saga_event "
        "(saga_id, seq, at, kind, step, attempt, epoch, task_id, worker, actor, detail) "
        "SELECT saga_id, version, clock_timestamp(), 'retried', 'shop.pay', 1, epoch, :task_id, "
        ":worker, :actor, jsonb_build_object('asked', CAST(:actor AS text), 'because', "
        "CAST(:actor AS text)) FROM moved",
        {"saga_id": str(saga_id), "task_id": None, "worker": None, "actor": None, **told},
    )


def version(page: Any) -> str:
    found = re.search(r'name="version" value="(\d+)"', page.text)
    assert found is not None, text_of(page)
    return found[1]


def test_who_is_not_logged_in_comes_to_the_login_and_then_to_what_they_wanted(
    shop: Shop, address: str
) -> None:
    wanted = f"/console/sagas/{shop.start()}?from=ticket"
    with at(address) as guest:
        sent = guest.client.get(wanted)
        form = guest.client.get(sent.headers["location"])
        entered = guest.client.post(
            "/console/login",
            data={"key": KEY, "next": re.search(r'name="next" value="([^"]+)"', form.text)[1]},  # type: ignore[index]
        )

        assert (sent.status_code, entered.status_code) == (303, 303)
        assert entered.headers["location"] == wanted
        assert guest.client.get(wanted).status_code == 200


@pytest.mark.parametrize(
    "elsewhere",
    [
        "//evil.test/console/",
        "/console/../api",
        "/console/%2e%2e/api",
        "https://evil.test",
        "/console/\\x",
        "/consoles",
    ],
)
def test_a_login_leads_nowhere_but_into_the_console(address: str, elsewhere: str) -> None:
    with at(address) as guest:
        entered = guest.client.post("/console/login", data={"key": KEY, "next": elsewhere})

    assert entered.headers["location"] == "/console/"


def test_the_cookie_is_for_the_console_alone_and_holds_no_key(address: str) -> None:
    with at(address) as guest:
        said = guest.client.post("/console/login", data={"key": KEY}).headers["set-cookie"]

    assert {"HttpOnly", "Path=/console", "SameSite=lax"} <= set(said.split("; "))
    assert KEY not in said


def test_a_key_that_is_not_known_is_told_and_written_down(shop: Shop, address: str) -> None:
    with at(address) as guest:
        answer = guest.client.post("/console/login", data={"key": "guessed"})
        again = guest.get("/sagas")

    assert answer.status_code == 401
    assert "This key is not known" in text_of(answer)
    assert "guessed" not in answer.text
    assert again.status_code == 303
    with shop.database.connect() as connection:
        [entry] = list_audit(connection)["items"]
    assert (entry["outcome"], entry["action"]) == ("refused", "POST /console/login")


def test_a_session_ends_with_its_key(shop: Shop, address: str) -> None:
    key = key_of(shop.engine, Role.OPERATOR, "Ann")
    with at(address) as guest:
        guest.log_in(key.secret)
        assert guest.get("/sagas").status_code == 200
        with shop.database.begin() as connection:
            keys.revoke(connection, key.key_id, by="Bob")

        assert guest.get("/sagas").status_code == 303


def test_who_logs_out_is_out(operator: Guest) -> None:
    assert operator.send("/logout").status_code == 303
    assert operator.get("/sagas").status_code == 303


@pytest.mark.parametrize("spoilt", ["", "x", "eyJ9.x.y", "a" * 5000])
def test_a_cookie_that_is_not_ours_is_no_session(address: str, spoilt: str) -> None:
    with at(address) as guest:
        guest.client.cookies.set("saga_console", spoilt, path="/console")

        assert guest.get("/sagas").status_code == 303


def test_a_session_of_another_key_of_the_environment_is_none(shop: Shop, operator: Guest) -> None:
    cookie = operator.client.cookies["saga_console"]
    with opened(shop.engine, api_key="another key") as elsewhere, at(elsewhere) as guest:
        guest.client.cookies.set("saga_console", cookie, path="/console")

        assert guest.get("/sagas").status_code == 303


def test_a_secret_signs_sessions_where_the_environment_has_no_key(shop: Shop) -> None:
    key = key_of(shop.engine, Role.VIEWER, "Vera").secret
    with opened(shop.engine, api_key=None, secret="s" * 40) as address, at(address) as guest:
        assert guest.log_in(key).get("/sagas").status_code == 200
        assert guest.client.post("/console/login", data={"key": "s" * 40}).status_code == 401


def test_without_anything_to_sign_with_the_console_is_closed_and_says_so(shop: Shop) -> None:
    with opened(shop.engine, api_key=None) as address, at(address) as guest:
        answer = guest.get("/sagas")

    assert answer.status_code == 503
    assert "SAGA_CONSOLE_SECRET" in text_of(answer)


def test_a_form_without_its_token_or_from_elsewhere_does_nothing(
    shop: Shop, operator: Guest
) -> None:
    saga_id = failed(shop)
    path = f"/sagas/{saga_id}/retry"
    fields = {"reason": "r", "version": version(operator.get(path))}
    without = operator.send(path, token="guessed", **fields)
    url, form = f"/console{path}", {"token": operator.token, **fields}
    other_site = operator.client.post(url, data=form, headers={"sec-fetch-site": "cross-site"})
    other_origin = operator.client.post(url, data=form, headers={"origin": "https://evil.test"})

    assert [answer.status_code for answer in (without, other_site, other_origin)] == [403] * 3
    assert shop.status(saga_id) == "FAILED"


def test_a_form_is_taken_behind_a_proxy_that_gives_the_host_another_name(
    shop: Shop, operator: Guest
) -> None:
    path = f"/sagas/{failed(shop)}/retry"
    form = {"token": operator.token, "reason": "r", "version": version(operator.get(path))}
    headers = {"sec-fetch-site": "same-origin", "origin": "https://sagas.example.com"}

    answer = operator.client.post(f"/console{path}", data=form, headers=headers)

    assert answer.status_code == 303


def test_every_answer_has_the_headers_that_keep_others_out(operator: Guest) -> None:
    for path in ("/sagas", "/login", "/nowhere", "/static/console.js"):
        headers = operator.get(path).headers

        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
    assert operator.get("/sagas").headers["cache-control"] == "no-store"
    assert "immutable" in operator.get("/static/console.js").headers["cache-control"]


def test_a_page_has_neither_styles_nor_scripts_of_its_own(shop: Shop, operator: Guest) -> None:
    page = operator.get(f"/sagas/{failed(shop)}").text

    assert re.search(r"<style|style=|<script(?! src=)| on[a-z]+=", page) is None


def test_a_saga_says_first_why_it_stands_where_it_does(shop: Shop, operator: Guest) -> None:
    saga_id = failed(shop)
    page = operator.get(f"/sagas/{saga_id}")
    said = text_of(page)

    assert "the customer is gone" in said
    assert said.index("FAILED") < said.index("Timeline")
    for action in ("retry", "compensate", "resolve"):
        assert f'href="/console/sagas/{saga_id}/{action}"' in page.text
    assert f'href="/console/sagas/{saga_id}/cancel"' not in page.text


def test_a_task_of_the_timeline_leads_to_flower(shop: Shop, operator: Guest) -> None:
    saga_id = shop.start()
    shop.work_off()
    happened(shop, saga_id, task_id="the-task")

    assert 'href="http://flower.test/task/the-task"' in operator.get(f"/sagas/{saga_id}").text


def test_a_failed_saga_is_compensated_after_a_preview(shop: Shop, operator: Guest) -> None:
    saga_id = failed(shop)
    path = f"/sagas/{saga_id}/compensate"
    asked = operator.get(path)
    done = operator.send(path, reason="the customer wants it back", version=version(asked))

    assert "release" in text_of(asked)
    assert done.headers["location"] == f"/console/sagas/{saga_id}?done=compensate"
    after = text_of(operator.get(f"/sagas/{saga_id}?done=compensate"))
    assert "Its compensation is ordered." in after
    assert "the customer wants it back" in after
    assert "Ann" in after


def test_the_second_of_two_operators_is_told_what_happened(
    shop: Shop, address: str, operator: Guest
) -> None:
    saga_id = failed(shop)
    path = f"/sagas/{saga_id}/compensate"
    with at(address) as other:
        other.log_in(key_of(shop.engine, Role.OPERATOR, "Bob").secret)
        seen = version(other.get(path))
        operator.send(path, reason="a ticket", version=version(operator.get(path)))
        second = other.send(path, reason="my own reason", version=seen)

    assert second.status_code == 409
    said = text_of(second)
    assert "Ann compensated it" in said
    assert "“a ticket”" in said
    assert f"It is {shop.status(saga_id)} now" in said
    assert ">my own reason<" in second.text
    assert f'href="/console/sagas/{saga_id}/resolve"' in second.text


def test_what_was_typed_is_not_lost_by_a_fault(shop: Shop, operator: Guest) -> None:
    path = f"/sagas/{failed(shop)}/resolve"
    seen = version(operator.get(path))
    typed = {"version": seen, "finding": "shop.tell:done", "state": "{"}
    answer = operator.send(path, reason="ticket 7", evidence="their book", **typed)

    assert answer.status_code == 422
    assert "is no JSON" in text_of(answer)
    assert "ticket 7" in answer.text
    assert "their book" in answer.text
    assert 'value="shop.tell:done" required checked' in answer.text


def test_a_finding_lets_the_saga_go_on(shop: Shop, operator: Guest) -> None:
    saga_id = failed(shop)
    path = f"/sagas/{saga_id}/resolve"
    fields = {"finding": "shop.tell:done", "evidence": "she said so", "reason": "ticket 7"}
    operator.send(path, version=version(operator.get(path)), **fields)

    assert shop.status(saga_id) == "COMPLETED"


@pytest.mark.parametrize("action", ["retry", "compensate", "resolve"])
def test_a_viewer_sees_no_buttons_and_may_not_press_them(
    shop: Shop, viewer: Guest, action: str
) -> None:
    saga_id = failed(shop)
    page = viewer.get(f"/sagas/{saga_id}")
    asked = viewer.get(f"/sagas/{saga_id}/{action}")
    sent = viewer.send(f"/sagas/{saga_id}/{action}", reason="r", version="9")

    assert f"/sagas/{saga_id}/{action}" not in page.text
    assert (asked.status_code, sent.status_code) == (403, 403)
    assert "operator or admin" in text_of(sent)
    assert shop.status(saga_id) == "FAILED"
    with shop.database.connect() as connection:
        refused = list_audit(connection)["items"][0]
    assert (refused["actor"], refused["outcome"]) == ("Vera", "refused")
    assert refused["sagaId"] == str(saga_id)


def test_an_action_that_is_not_allowed_says_why_and_what_is(shop: Shop, operator: Guest) -> None:
    page = operator.get(f"/sagas/{failed(shop)}/cancel")

    assert "only a RUNNING saga can be" in text_of(page)
    assert "/retry" in page.text


@pytest.mark.parametrize(
    "path", ["/sagas/{}", "/sagas/{}/retry", "/sagas/nonsense", "/sagas/%00", "/nowhere"]
)
def test_what_is_not_there_is_told(operator: Guest, path: str) -> None:
    answer = operator.get(path.format(uuid4()))

    assert answer.status_code == 404
    assert "text/html" in answer.headers["content-type"]
    assert "Overview" in text_of(answer)


@pytest.mark.parametrize(
    "query",
    [
        "status=LOST",
        "limit=0",
        "limit=x",
        "olderThan=soon",
        "cursor=x",
        "since=never",
        "q=%00",
        "retries=-1",
    ],
)
def test_a_filter_that_cannot_be_is_told(operator: Guest, query: str) -> None:
    answer = operator.get(f"/sagas?{query}")

    assert answer.status_code == 422
    assert " must " in text_of(answer)


def test_text_of_others_is_escaped_and_cut(shop: Shop, operator: Guest) -> None:
    saga_id = failed(shop)
    happened(shop, saga_id, actor=NASTY, worker=NASTY, task_id=NASTY)
    nasty = {"nasty": NASTY}
    shop.execute(
        "UPDATE saga_state SET error_message = :nasty, business_key = left(:nasty, 500), "
        "state = state || jsonb_build_object('item', CAST(:nasty AS text))",
        nasty,
    )
    for path in ("/sagas", f"/sagas/{saga_id}", f"/sagas/{saga_id}/retry"):
        page = operator.get(path).text

        assert "<script>alert" not in page
        assert "&lt;script&gt;" in page
        assert "x" * 25_000 not in page
        assert len(page) < 400_000


def test_what_is_sensitive_is_not_for_viewers(shop: Shop, viewer: Guest, operator: Guest) -> None:
    saga_id = failed(shop)
    unknown = "UPDATE saga_state SET definition_version = 9"
    shop.execute(unknown)

    assert "the customer is gone" in operator.get(f"/sagas/{saga_id}").text
    assert "the customer is gone" not in viewer.get(f"/sagas/{saga_id}").text
    assert "the customer is gone" not in viewer.get("/sagas").text


def test_many_are_done_at_once_and_each_is_told_of(shop: Shop, operator: Guest) -> None:
    first, second, third = failed(shop), failed(shop), failed(shop)
    ticked = [f"{saga_id}@{shop.row(saga_id)['version']}" for saga_id in (first, second)]
    ticked.append(f"{third}@1")
    asked = operator.send("/sagas/many", action="retry", saga=ticked)
    went = operator.send("/sagas/many/done", action="retry", saga=ticked, reason="all of them")

    assert "1 of 3 cannot be done now" in text_of(asked)
    assert "Retry: 2 of 3 done" in text_of(went)
    assert {shop.status(first), shop.status(second)} == {"RUNNING"}
    assert shop.status(third) == "FAILED"


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"action": "retry"}, "at least one"),
        ({"action": "explode", "saga": "x"}, "must be one of"),
        ({"action": "retry", "saga": f"{uuid4()}@1"}, "not there any more"),
        ({"action": "retry", "saga": f"{uuid4()}@x"}, "must be a number"),
    ],
)
def test_a_form_of_many_that_cannot_be_is_told(
    operator: Guest, fields: dict[str, str], fault: str
) -> None:
    assert fault in text_of(operator.send("/sagas/many", **fields))


def test_a_viewer_may_not_act_on_many(shop: Shop, viewer: Guest) -> None:
    saga_id = failed(shop)
    fields = {"action": "retry", "saga": f"{saga_id}@1", "reason": "r"}

    assert viewer.send("/sagas/many", **fields).status_code == 403
    assert viewer.send("/sagas/many/done", **fields).status_code == 403
    assert 'name="action"' not in viewer.get("/sagas").text


def test_an_open_page_is_told_that_its_saga_changed(shop: Shop, operator: Guest) -> None:
    saga_id = shop.start()
    stream = re.search(r'data-live="/console([^"]+)"', operator.get(f"/sagas/{saga_id}").text)
    assert stream is not None
    with operator.client.stream("GET", f"/console{stream[1]}") as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("retry:")
        shop.work_off()

        assert "event: changed" in [next(lines) for _ in range(3)]


def test_an_open_list_is_told_that_it_changed(shop: Shop, operator: Guest) -> None:
    stream = re.search(r'data-live="/console([^"]+)"', operator.get("/sagas?status=RUNNING").text)
    assert stream is not None
    with operator.client.stream("GET", f"/console{stream[1].replace('&amp;', '&')}") as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("retry:")
        shop.start()

        assert "event: changed" in [next(lines) for _ in range(3)]


def test_pages_go_back_in_time(shop: Shop, operator: Guest) -> None:
    first = shop.start()
    for _ in range(2):
        shop.start()
    newest = operator.get("/sagas?limit=2")
    older = re.search(r'href="/console(/sagas\?[^"]+)" rel="next"', newest.text)
    assert older is not None

    assert str(first) not in newest.text
    assert str(first) in operator.get(older[1].replace("&amp;", "&")).text


def test_behind_a_proxy_all_stands_below_its_path(shop: Shop) -> None:
    with served(front(shop.engine), root_path="/x") as address, at(address) as guest:
        sent = guest.client.post("/console/login", data={"key": KEY})
        page = guest.client.get("/console/sagas", headers={"cookie": sent.headers["set-cookie"]})
        alive = guest.client.get("/healthz")

    assert sent.headers["location"] == "/x/console/"
    assert "Path=/x/console" in sent.headers["set-cookie"]
    assert 'href="/x/console/static/console.css?' in page.text
    assert alive.status_code == 200


def test_a_session_is_over_after_its_time(operator: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    assert operator.get("/sagas").status_code == 200
    monkeypatch.setattr(session, "LASTS", timedelta(seconds=-1))

    assert operator.get("/sagas").status_code == 303


def test_too_many_at_once_are_told_and_none_is_done(shop: Shop, operator: Guest) -> None:
    saga_id = failed(shop)
    ticked = [f"{saga_id}@{shop.row(saga_id)['version']}"] * (MOST + 1)
    answer = operator.send("/sagas/many/done", action="retry", saga=ticked, reason="all")

    assert answer.status_code == 422
    assert f"at most {MOST} at once" in text_of(answer)
    assert shop.status(saga_id) == "FAILED"


def test_what_only_begins_like_the_console_is_the_apis(operator: Guest) -> None:
    assert operator.client.get("/consolex").status_code == 401
    assert operator.client.get("/api/sagas").status_code == 401


def test_a_list_says_what_stands_still_and_of_what_rests_nothing(
    shop: Shop, operator: Guest
) -> None:
    shop.script.say("pay", PollAgain(after=timedelta(minutes=1)))
    waits = shop.start()
    shop.work_off()
    paused = shop.start()
    Operator(shop.engine, actor="Ann").pause(paused, reason="ask first")
    shop.script.say("pay", Refused("no"))
    shop.start()
    shop.work_off()
    rests = "UPDATE saga_state SET waiting_for = 'second_look' WHERE status = 'COMPENSATED'"
    shop.execute(rests)
    said = text_of(operator.get("/sagas"))

    assert (said.count("waits"), said.count("paused")) == (1, 1)
    assert "waits for the final word" in said
    assert "paused" in text_of(operator.get(f"/sagas/{paused}"))
    assert "waits for the final word" in text_of(operator.get(f"/sagas/{waits}"))
