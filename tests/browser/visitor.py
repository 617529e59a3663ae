"""A person at a browser: logs in, goes about, and notes whatever a page complains about."""

import re
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, expect

# In milliseconds. A busy machine is slow, but a page that is not told of changes looks itself, too,
# every fifteen seconds.
SOON = 10_000

# An answer other than 200 is told on Chromium's console; what it means is on the page.
_ANSWER = re.compile(r"Failed to load resource: (the server responded with a status|net::ERR_)")
_AXE = Axe()

expect.set_options(timeout=SOON)


class Visitor:
    """One browser of its own, with one page open. ``complaints`` are of all its pages."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        context.set_default_timeout(SOON)
        self.context = context
        self.address = address
        self.complaints: list[str] = []
        context.on("console", self._heard)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.add_init_script(
            "document.addEventListener('securitypolicyviolation', (event) => "
            "console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`))"
        )
        self.page: Page = context.new_page()

    def go(self, path: str = "/") -> int:
        """Open a page by its path below the console; the status of the answer."""
        answer = self.page.goto(f"{self.address}{path}")
        assert answer is not None
        return answer.status

    def log_in(self, key: str) -> None:
        self.go("/login")
        self.page.get_by_label("Key").fill(key)
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page.get_by_role("button", name="Log out")).to_be_visible()

    def press(self, name: str) -> None:
        """Press a button, or what looks like one."""
        page = self.page
        page.get_by_role("button", name=name, exact=True).or_(
            page.get_by_role("link", name=name, exact=True)
        ).click()

    def sees(self, text: str) -> None:
        """The page shows the text, now or soon."""
        expect(self.page.locator("body")).to_contain_text(text)

    def act(self, *, reason: str) -> None:
        """On the page of an action: give the reason, say that it was read, and do it."""
        page = self.page
        page.get_by_label("Reason").fill(reason)
        page.get_by_label("I have read").check()
        page.locator("main form button.main").click()

    def unreadable(self, **options: Any) -> str:
        """What axe finds wrong with the page; nothing where all is well."""
        found = _AXE.run(self.page, options={"resultTypes": ["violations"], **options})
        return found.generate_report() if found.violations_count else ""

    def overhang(self) -> int:
        """How many pixels the page is wider than the window."""
        wider: int = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return wider

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not _ANSWER.match(message.text):
            self.complaints.append(f"{message.type}: {message.text}")
