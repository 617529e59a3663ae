"""The system's Chromium, driven by Playwright, which brings no browser of its own."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright


# Not for the whole run: while Playwright lives, no other test may have an event loop.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Give the browser. Where there is none a test is skipped, but in CI it fails."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("there is no chromium; CI has one: .ci/run", pytrace=False)
        pytest.skip("there is no chromium")
    # Started without its sandbox, which is not for root; the pages are our own.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()
