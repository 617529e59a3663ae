"""Every page of the console, wide and narrow, light and dark: axe finds nothing, all fits.

The pictures are in `.artefacts/screenshots/`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from playwright.sync_api import Browser, expect

from saga import Operator, PollAgain, connect
from tests.browser.counter import Counter
from tests.browser.gallery import faults
from tests.browser.visitor import Visitor
from tests.conftest import PROJECT

SCREENSHOTS = PROJECT / ".artefacts" / "screenshots"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Sagas of every kind, and an operator who looks at them."""

    ann: Visitor
    sagas: dict[str, UUID]


@pytest.fixture(scope="module")
def folder() -> Path:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return SCREENSHOTS


@pytest.fixture(scope="module")
def scene(chromium: Browser, new_database: Callable[[], str]) -> Iterator[Scene]:
    # Not where other tests begin with nothing.
    database = connect(new_database(), pool_size=12)
    with Counter.opened(database) as counter, chromium.new_context() as context:
        ann = Visitor(context, counter.address)
        sagas = populate(counter)
        ann.log_in(counter.operator)
        yield Scene(ann=ann, sagas=sagas)
    database.dispose()


def populate(counter: Counter) -> dict[str, UUID]:
    """A day at the shop: many sagas that went well, and one of each that did not."""
    done = counter.completed(business_key="order:1001")
    compensated = counter.compensated(business_key="order:1002")
    counter.crowd(done, 220)
    counter.crowd(compensated, 40)
    failed = counter.failed(business_key="order:1003")
    counter.script.say("tell", PollAgain(after=timedelta(minutes=3), reason="the post is slow"))
    waiting = counter.begun(business_key="order:1004", steps=5)
    paused = counter.begun(business_key="order:1005")
    Operator(counter.engine, actor="Ann").pause(paused, reason="the customer is on the telephone")
    unknown = counter.begun(business_key="order:1006")
    counter.execute(
        "UPDATE saga_state SET saga_type = 'barter', definition_version = 9 "
        "WHERE saga_id = :saga_id",
        {"saga_id": unknown},
    )
    running = counter.begun(business_key="order:1007")
    Operator(counter.engine, actor="Ann").pause_type(
        "app_upload", step="app_upload.upload_to_object_store", reason="the store is full"
    )
    counter.recover()
    return {
        "completed": done,
        "compensated": compensated,
        "failed": failed,
        "waiting": waiting,
        "paused": paused,
        "unknown-definition": unknown,
        "running": running,
    }


PAGES = {
    "overview-full": "/",
    "sagas-full": "/sagas",
    "sagas-filtered": "/sagas?status=FAILED&step=shop.pay&error=NeedsPerson",
    "sagas-nothing-found": "/sagas?key=nobody",
    "sagas-bad-filter": "/sagas?olderThan=soon",
    "definitions": "/definitions",
    "definition": "/definitions/payment_refund",
    "definition-in-flight": "/definitions/shop",
    "definition-paused": "/definitions/app_upload",
    "saga-running": "/sagas/{running}",
    "saga-failed": "/sagas/{failed}",
    "saga-compensated": "/sagas/{compensated}",
    "saga-completed": "/sagas/{completed}",
    "saga-waiting": "/sagas/{waiting}",
    "saga-paused": "/sagas/{paused}",
    "saga-unknown-definition": "/sagas/{unknown-definition}",
    "action-compensate": "/sagas/{failed}/compensate",
    "action-retry": "/sagas/{failed}/retry",
    "action-resolve": "/sagas/{failed}/resolve",
    "action-not-now": "/sagas/{completed}/retry",
    "problem-not-found": "/sagas/00000000-0000-4000-8000-000000000000",
    "problem-no-page": "/nowhere",
}

STATUSES = {"sagas-bad-filter": 422, "problem-not-found": 404, "problem-no-page": 404}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_readable_by_all(scene: Scene, folder: Path, name: str) -> None:
    path = PAGES[name].format(**{name: str(saga_id) for name, saga_id in scene.sagas.items()})
    answered = scene.ann.go(path)
    assert answered == STATUSES.get(name, 200)
    assert scene.ann.page.url.endswith(path), "and not the login"
    expect(scene.ann.page.locator("main h1")).to_have_count(1)

    assert list(faults(scene.ann, name, folder)) == []
    assert scene.ann.complaints == []


def test_what_many_come_to_is_readable_by_all(scene: Scene, folder: Path) -> None:
    ann = scene.ann
    ann.go("/sagas")
    for box in ann.page.locator("input[name=saga]").all()[:8]:
        box.check()
    ann.press("Pause")
    ann.sees("What would happen")
    found = list(faults(ann, "many", folder))
    ann.act(reason="the shop is shut for today")
    ann.sees("Back to the list")
    found += faults(ann, "many-done", folder)

    assert found == []
    assert ann.complaints == []


def test_what_a_form_is_refused_for_is_readable_by_all(scene: Scene, folder: Path) -> None:
    ann = scene.ann
    ann.go(f"/sagas/{scene.sagas['failed']}/resolve")
    ann.page.locator("input[name=finding]").first.check()
    ann.page.get_by_label("Evidence").fill("the bank's books")
    ann.page.locator("summary").click()
    ann.page.get_by_label("State, as JSON").fill("{refundNo")
    ann.act(reason="I called the bank")
    expect(ann.page.get_by_role("alert")).to_contain_text("is no JSON")
    expect(ann.page.get_by_label("Evidence")).to_have_value("the bank's books")
    expect(ann.page.get_by_label("State, as JSON")).to_have_value("{refundNo")

    assert list(faults(ann, "action-refused", folder)) == []
    assert ann.complaints == []


def test_the_login_and_what_it_says_are_readable_by_all(
    visit: Callable[..., Visitor], folder: Path
) -> None:
    ann = visit()
    ann.go("/login")
    found = list(faults(ann, "login", folder))
    ann.page.get_by_label("Key").fill("saga_no_such_key")
    ann.press("Log in")
    expect(ann.page.get_by_role("alert")).to_be_visible()
    found += faults(ann, "login-refused", folder)

    assert found == []


def test_an_empty_shop_is_readable_by_all(
    counter: Counter, visit: Callable[..., Visitor], folder: Path
) -> None:
    ann = visit(counter.operator)
    found: list[str] = []
    for name, path in (("overview-empty", "/"), ("sagas-empty", "/sagas")):
        ann.go(path)
        found += faults(ann, name, folder)

    assert found == []


def test_pages_without_a_database_are_readable_by_all(
    counter: Counter, visit: Callable[..., Visitor], folder: Path
) -> None:
    counter.failed()
    ann, bob = visit(counter.operator), visit(counter.operator)
    ann.go("/sagas")
    with counter.without_database():
        ann.page.evaluate("refresh()")
        ann.sees("The database is away.")
        found = list(faults(ann, "sagas-broken", folder))
        bob.page.goto(f"{bob.address}/")
        bob.sees("The database is away.")
        found += faults(bob, "overview-broken", folder)

    assert found == []
