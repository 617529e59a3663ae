"""The console as a person sees it, in a browser."""

from collections.abc import Callable

from playwright.sync_api import expect

from saga import Operator
from tests.browser.counter import Counter
from tests.browser.gallery import NARROW
from tests.browser.visitor import Visitor

Visit = Callable[..., Visitor]

# A browser asks anew for a stream that has ended two seconds later.
PATIENCE = 20_000


def test_an_operator_finds_a_failed_saga_and_sees_its_compensation_end_live(
    counter: Counter, visit: Visit
) -> None:
    saga_id = counter.failed(business_key="order:7")
    counter.completed()
    ann = visit()
    ann.go("/sagas")
    ann.page.get_by_label("Key").fill(counter.operator)
    ann.press("Log in")
    assert ann.page.url.endswith("/console/sagas"), "where one wanted to go"

    ann.page.get_by_label("Status").select_option("FAILED")
    ann.press("Filter")
    expect(ann.page.locator("tbody tr")).to_have_count(1)
    ann.page.locator("tbody a.row").click()
    assert ann.page.url.endswith(str(saga_id))
    ann.sees("top up the merchant's account")
    ann.press("Copy")
    ann.sees("Copied")
    ann.press("Compensate")
    preview = ann.page.locator("#preview")
    expect(preview).to_contain_text("recall")
    expect(preview).to_contain_text("release")
    ann.act(reason="the customer does not want it any more")
    ann.sees("Its compensation is ordered.")
    expect(ann.page.locator("#head .badge")).not_to_have_text("COMPENSATED")
    ann.page.evaluate("window.unreloaded = true")

    counter.work_off()

    expect(ann.page.locator("#head .badge")).to_have_text("COMPENSATED")
    expect(ann.page.locator("#timeline")).to_contain_text("the customer does not want it any more")
    assert ann.page.evaluate("window.unreloaded"), "it was told without a reload"
    assert counter.status(saga_id) == "COMPENSATED"
    assert {event["actor"] for event in counter.events(saga_id)} == {"Ann", None}


def test_of_two_operators_at_once_the_second_is_told_what_happened(
    counter: Counter, visit: Visit
) -> None:
    saga_id = counter.failed()
    ann, bob = visit(counter.operator), visit(counter.another("Bob"))
    ann.go(f"/sagas/{saga_id}/compensate")
    bob.go(f"/sagas/{saga_id}/retry")

    ann.act(reason="it is not to be")
    ann.sees("Its compensation is ordered.")
    bob.act(reason="the account is topped up")

    bob.sees("Ann compensated it")
    bob.sees("it is not to be")
    assert bob.page.get_by_role("link", name="Pause").is_visible(), "what is allowed now"
    counter.work_off()
    assert counter.status(saga_id) == "COMPENSATED"
    assert not [event for event in counter.events(saga_id) if event["actor"] == "Bob"]


def test_a_viewer_sees_no_button_and_what_it_sends_by_hand_is_refused(
    counter: Counter, visit: Visit
) -> None:
    saga_id = counter.failed()
    vera = visit(counter.viewer)

    for path in ("/sagas", f"/sagas/{saga_id}"):
        vera.go(path)
        expect(vera.page.locator("main h1")).to_be_visible()
        assert vera.page.locator("main form[method=post] button").count() == 0
        assert vera.page.get_by_role("link", name="Compensate").count() == 0
        assert vera.page.locator("main input[type=checkbox][name=saga]").count() == 0
    token = vera.page.locator("input[name=token]").first.input_value()
    form = {"token": token, "version": "1", "reason": "I want it", "sure": "yes"}
    where = f"{vera.address}/sagas/{saga_id}/compensate"
    assert vera.context.request.post(where, form=form).status == 403
    assert vera.context.request.get(where).status == 403
    assert counter.status(saga_id) == "FAILED"


def test_who_has_no_mouse_logs_in_and_acts(counter: Counter, visit: Visit) -> None:
    saga_id = counter.failed()
    ann = visit()
    ann.go(f"/sagas/{saga_id}")
    keyboard = ann.page.keyboard
    expect(ann.page.get_by_label("Key")).to_be_focused()
    keyboard.type(counter.operator)
    keyboard.press("Enter")
    expect(ann.page.locator("main h1")).to_contain_text("shop")

    keyboard.press("Tab")
    keyboard.press("Enter")
    expect(ann.page.locator("main")).to_be_focused()
    tab_to(ann, "Retry")
    keyboard.press("Enter")
    expect(ann.page.locator("main h1")).to_have_text("Retry")
    tab_to(ann, "reason")
    keyboard.type("the account is topped up")
    tab_to(ann, "sure")
    keyboard.press("Space")
    tab_to(ann, "Retry")
    keyboard.press("Enter")

    ann.sees("It is being tried again.")
    assert counter.status(saga_id) == "RUNNING"


def tab_to(visitor: Visitor, name: str) -> None:
    """Go from one to the next until the one of this name, or with this text, has the focus."""
    for _ in range(60):
        visitor.page.keyboard.press("Tab")
        here = visitor.page.evaluate(
            "[document.activeElement.name, document.activeElement.textContent.trim()]"
        )
        if name in here:
            shown = visitor.page.evaluate(
                "getComputedStyle(document.activeElement).outlineStyle !== 'none'"
            )
            assert shown, f"nobody sees that {name} has the focus"
            return
    raise AssertionError(f"no Tab leads to {name}")


def test_many_are_chosen_and_each_is_told_how_it_went(counter: Counter, visit: Visit) -> None:
    sagas = [counter.failed() for _ in range(3)]
    ann = visit(counter.operator)
    ann.go("/sagas?status=FAILED")
    expect(ann.page.locator("tbody tr")).to_have_count(3)
    expect(ann.page.get_by_role("button", name="Retry")).to_be_disabled()

    ann.page.get_by_label("Tick all on this page").check()
    ann.sees("3 ticked")
    ann.press("Retry")
    ann.sees("Retry 3 sagas")
    Operator(counter.engine, actor="Bob").compensate(sagas[0], reason="quicker")
    ann.act(reason="the account is topped up")

    ann.sees("Retry: 2 of 3 done")
    assert [counter.status(saga_id) for saga_id in sagas[1:]] == ["RUNNING"] * 2
    ann.press("Back to the list")
    assert "status=FAILED" in ann.page.url, "as it was filtered"


def test_what_is_ticked_stays_so_while_the_list_goes_on(counter: Counter, visit: Visit) -> None:
    saga_id = counter.running()
    ann = visit(counter.operator)
    ann.go("/sagas")
    tick = ann.page.locator(f"tr[data-key='{saga_id}'] input")
    tick.check()
    ann.page.get_by_label("Search").fill("half a wo")
    tick.focus()

    counter.start()
    counter.work_off()

    rows = ann.page.locator("tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.last).to_contain_text("COMPLETED")
    expect(tick).to_be_checked()
    expect(tick).to_be_focused()
    ann.sees("1 ticked")
    expect(ann.page.get_by_label("Search")).to_have_value("half a wo")


def test_who_runs_no_scripts_can_act_all_the_same(counter: Counter, visit: Visit) -> None:
    saga_id = counter.failed()
    ann = visit(counter.operator, java_script_enabled=False)
    ann.go("/sagas")
    ann.page.locator("input[name=saga]").check()
    ann.press("Retry")
    ann.act(reason="the account is topped up")

    ann.sees("Retry: 1 of 1 done")
    assert counter.status(saga_id) == "RUNNING"


def test_a_saga_that_vanishes_while_it_is_looked_at_is_told_of(
    counter: Counter, visit: Visit
) -> None:
    saga_id = counter.completed()
    ann = visit(counter.operator)
    ann.go(f"/sagas/{saga_id}")
    expect(ann.page.locator("#head .badge")).to_have_text("COMPLETED")

    counter.purge(saga_id)

    expect(ann.page.locator("#notice")).to_be_visible(timeout=PATIENCE)
    ann.sees("no saga has the id")
    ann.page.reload()
    expect(ann.page.locator("main h1")).to_have_text("Not Found")


def test_a_page_says_that_the_database_is_away_and_mends_itself(
    counter: Counter, visit: Visit
) -> None:
    saga_id = counter.running()
    ann, bob = visit(counter.operator), visit(counter.operator)
    ann.go(f"/sagas/{saga_id}")
    expect(ann.page.locator("#head .badge")).to_have_text("RUNNING")

    with counter.without_database():
        bob.go("/sagas")
        bob.sees("The database is away.")
        ann.page.evaluate("refresh()")
        ann.sees("The database is away.")
    counter.work_off()

    expect(ann.page.locator("#head .badge")).to_have_text("COMPLETED", timeout=PATIENCE)
    expect(ann.page.locator("#notice")).to_be_hidden()
    expect(bob.page.locator("main h1")).to_have_text("Sagas", timeout=PATIENCE)


def test_a_session_ends_with_its_key(counter: Counter, visit: Visit) -> None:
    saga_id = counter.running()
    ann = visit(counter.operator)
    ann.go(f"/sagas/{saga_id}")

    counter.revoke(counter.operator_id)

    expect(ann.page.locator("#notice")).to_contain_text("You are logged out.", timeout=PATIENCE)
    ann.page.reload()
    expect(ann.page.get_by_label("Key")).to_be_visible()
    ann.page.get_by_label("Key").fill(counter.operator)
    ann.press("Log in")
    ann.sees("The key was revoked.")


def test_who_logs_out_is_out(counter: Counter, visit: Visit) -> None:
    ann = visit(counter.operator)
    ann.go("/sagas")
    ann.press("Log out")
    expect(ann.page.get_by_label("Key")).to_be_visible()

    ann.go("/sagas")

    assert "/console/login" in ann.page.url


WICKED = "<img src=x onerror=alert(1)><script>alert(2)</script> ' \" & "
LONG = WICKED + "x" * 10_000


def test_what_is_wicked_or_endless_is_shown_as_it_is_and_cut(
    counter: Counter, visit: Visit
) -> None:
    saga_id = counter.failed(business_key="order:9")
    counter.execute(
        "UPDATE saga_state SET business_key = :long, error_message = :long "
        "WHERE saga_id = :saga_id",
        {"long": LONG, "saga_id": saga_id},
    )
    ann = visit(counter.operator)

    for path in ("/sagas", f"/sagas/{saga_id}", f"/sagas/{saga_id}/retry"):
        ann.go(path)
        ann.sees("<img src=x onerror=alert(1)>")
        assert ann.page.locator("main img, main script").count() == 0
        assert "x" * 3_000 not in ann.page.content()
        ann.page.set_viewport_size(NARROW)
        assert ann.overhang() == 0
    ann.page.get_by_label("Reason").fill(f"{WICKED} {'y' * 10_000}")
    assert len(ann.page.get_by_label("Reason").input_value()) <= 1_000
    ann.page.get_by_label("Reason").fill(WICKED)
    ann.page.get_by_label("I have read").check()
    ann.page.locator("main form button.main").click()
    ann.sees("It is being tried again.")
    expect(ann.page.locator("#timeline")).to_contain_text(WICKED.strip())
    assert ann.page.locator("main img, main script").count() == 0


def test_of_ten_thousand_sagas_a_page_shows_few(counter: Counter, visit: Visit) -> None:
    counter.crowd(counter.completed(), 10_000)
    ann = visit(counter.operator)

    ann.go("/sagas")

    rows = ann.page.locator("tbody tr")
    assert 20 <= rows.count() <= 100
    assert len(ann.page.content()) < 200_000
    first = rows.first.locator("a.row").get_attribute("href")
    ann.press("Older")
    expect(rows.first.locator("a.row")).not_to_have_attribute("href", first or "")
    ann.press("Newest")
    expect(rows.first.locator("a.row")).to_have_attribute("href", first or "")
