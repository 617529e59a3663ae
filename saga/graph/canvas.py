"""Elements of an SVG, escaped, and how far down they reach."""

from collections.abc import Sequence
from html import escape

from saga.graph.layout import width, wrapped
from saga.graph.look import Sign

PILL = 18  # height
_PILL_FONT = 11
_SIGN_RADIUS = 11


def xml(text: str) -> str:
    """The text for an element or an attribute, without what XML cannot hold."""
    return escape("".join(letter if letter.isprintable() else " " for letter in text))


def pill_width(text: str) -> int:
    """How wide the pill around a word is."""
    return round(width(text, _PILL_FONT) * 1.02 + 16)


class Canvas:
    """Collects elements. Coordinates are in the picture's own unit: a pixel at full size."""

    def __init__(self) -> None:
        self.elements: list[str] = []

    def add(self, element: str) -> None:
        """Add markup as it is."""
        self.elements.append(element)

    def text(
        self, x: float, y: float, text: str, *, size: float, look: str = "", anchor: str = "start"
    ) -> None:
        """Write one line, whose letters stand on ``y``."""
        ends = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self.add(
            f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" class="{look}"{ends}>'
            f"{xml(text)}</text>"
        )

    def paragraph(
        self, x: float, y: float, text: str, *, size: float, room: float, most: int, look: str = ""
    ) -> float:
        """Write up to ``most`` lines, none wider than ``room``; give the ``y`` below them."""
        monospace = "m" in look.split()
        # Bold letters are a little wider.
        bold = 1.0 if monospace or "b" not in look.split() else 1.08

        def fits(line: str) -> bool:
            return bold * width(line, size, monospace=monospace) <= room

        for line in wrapped(text, fits=fits, most=most):
            self.text(x, y, line, size=size, look=look)
            y += round(size * 1.4)
        return y

    def pill(self, x: float, y: float, text: str, *, tone: str) -> float:
        """Put a word in a rounded frame whose upper left corner is at ``x, y``; give its width."""
        wide = pill_width(text)
        self.add(
            f'<rect x="{x:g}" y="{y:g}" width="{wide}" height="{PILL}" rx="9" class="{tone} on"/>'
        )
        middle, base = x + wide / 2, y + PILL - 5
        self.text(middle, base, text, size=_PILL_FONT, look=f"{tone} b", anchor="middle")
        return wide

    def sign(self, x: float, y: float, sign: Sign) -> None:
        """Draw the sign's icon in a circle around ``x, y``."""
        self.add(f'<circle cx="{x:g}" cy="{y:g}" r="{_SIGN_RADIUS}" class="{sign.tone} on i"/>')
        if sign.icon:
            self.icon(x, y, sign.icon, tone=sign.tone)

    def icon(self, x: float, y: float, path: str, *, tone: str) -> None:
        self.add(f'<path transform="translate({x:g} {y:g})" d="{path}" class="{tone} i"/>')

    def line(self, points: Sequence[tuple[float, float]], *, look: str = "") -> None:
        """Draw a line through ``points``."""
        through = "L".join(f"{x:g} {y:g}" for x, y in points)
        self.add(f'<path d="M{through}" class="line {look}"/>')

    def tip(self, x: float, y: float, *, down: bool, tone: str = "") -> None:
        """Draw the head of an arrow that ends at ``x, y``."""
        back = -8 if down else 8
        self.add(f'<path d="M{x:g} {y:g}l-4.5 {back}h9z" class="tip {tone}"/>')
