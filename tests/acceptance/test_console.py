"""An operator at the console, in a browser, while a real worker does what is ordered there."""

from collections.abc import Callable

from playwright.sync_api import Browser, expect

from saga.access import Role, keys
from tests.acceptance.world import World
from tests.browser.chromium import chromium
from tests.browser.visitor import Visitor

__all__ = ["chromium"]


def test_a_failed_refund_is_found_compensated_and_seen_to_end(
    make_world: Callable[..., World], chromium: Browser
) -> None:
    world = make_world(api=True)
    with world.database.begin() as connection:
        key = keys.create(connection, name="Ann", role=Role.OPERATOR, by="a test").secret
    [payment] = world.payments()
    world.fault("refund", "not_enough")
    [saga_id] = world.refund(payment)
    world.until_status(saga_id, "FAILED")

    with chromium.new_context() as context:
        ann = Visitor(context, f"{world.api_url}/console")
        ann.log_in(key)
        ann.page.locator("main").get_by_role("link", name="FAILED").first.click()
        ann.page.locator(f"a[href$='{saga_id}']").first.click()
        ann.press("Compensate")
        ann.act(reason="the customer does not want it any more")
        ann.sees("Its compensation is ordered.")
        ann.page.evaluate("window.unreloaded = true")

        expect(ann.page.locator("#head .badge").first).to_have_text("COMPENSATED", timeout=60_000)

        assert ann.page.evaluate("window.unreloaded"), "it was told without a reload"
        assert ann.complaints == []
    sql = "SELECT status, refunded_minor FROM payments WHERE id = :id"
    assert [tuple(row) for row in world.rows(sql, id=payment)] == [("success", 0)]
    assert world.books() == {}
    world.audit()
