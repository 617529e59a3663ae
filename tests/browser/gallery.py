"""What is looked at of a page: wide and narrow, light and dark. A picture of each is kept."""

from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import ViewportSize

from tests.browser.visitor import Visitor

WIDE = ViewportSize(width=1280, height=900)
NARROW = ViewportSize(width=360, height=740)
SIZES = {"wide": WIDE, "narrow": NARROW}

# In the dark only colours are others, and those are the same in a narrow window.
_LIGHT: dict[str, object] = {}
_DARK = {"runOnly": ["color-contrast", "link-in-text-block"]}
_LOOKS = (
    ("wide", "light", _LIGHT),
    ("wide", "dark", _DARK),
    ("narrow", "light", _LIGHT),
    ("narrow", "dark", None),
)


def faults(visitor: Visitor, name: str, folder: Path) -> Iterator[str]:
    """Take pictures of the page that is open; give what is wrong with it in any of them."""
    page = visitor.page
    for size, scheme, rules in _LOOKS:
        where = f"{name}, {size}, {scheme}"
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.set_viewport_size(SIZES[size])
        page.screenshot(path=folder / f"{name}-{size}-{scheme}.png", full_page=True)
        if rules is not None and (wrong := visitor.unreadable(**rules)):
            yield f"{where}: {wrong}"
        if wider := visitor.overhang():
            yield f"{where}: {wider} pixels wider than the window"
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(WIDE)
