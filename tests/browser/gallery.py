"""What is looked at of a page: wide and narrow, light and dark. A picture of each is kept."""

from collections.abc import Iterator
from pathlib import Path

from tests.browser.visitor import NARROW, WIDE, Visitor

SIZES = {"wide": WIDE, "narrow": NARROW}
SCHEMES = ("light", "dark")

# In the dark only colours are others.
_COLOURS = {"runOnly": ["color-contrast", "link-in-text-block"]}


def faults(visitor: Visitor, name: str, folder: Path) -> Iterator[str]:
    """Take pictures of the page that is open; give what is wrong with it in any of them."""
    page = visitor.page
    for size, window in SIZES.items():
        page.set_viewport_size({"width": window["width"], "height": window["height"]})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            page.screenshot(path=folder / f"{name}-{size}-{scheme}.png", full_page=True)
            where = f"{name}, {size}, {scheme}"
            if wrong := visitor.unreadable(**({} if scheme == "light" else _COLOURS)):
                yield f"{where}: {wrong}"
        if wider := visitor.overhang():
            yield f"{name}, {size}: {wider} pixels wider than the window"
    page.set_viewport_size({"width": WIDE["width"], "height": WIDE["height"]})
    page.emulate_media(color_scheme="light")
