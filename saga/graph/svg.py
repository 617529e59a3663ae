"""A picture as an SVG: no script, no font and no file besides it."""

from dataclasses import dataclass

from saga.definition import Role
from saga.graph.canvas import Canvas, xml
from saga.graph.card import LEFT, SPINE, Placed, card
from saga.graph.look import SCOPE, STATUSES, css
from saga.graph.picture import Picture
from saga.graph.where import Activity
from saga.position import Status
from saga.task import Effect

WIDTH = 480
NARROW = 360  # letters stay readable on a phone

_GAP = 26
_GAP_AT_LINE = 54
_TRIMMED = 7  # on either side nothing is drawn but the paper


@dataclass(frozen=True)
class _Sheet:
    """What is drawn on, ``width`` pixels wide: cards on the left, the ways to its ends beside."""

    width: int

    @property
    def card(self) -> int:
        return self.width - 84

    @property
    def edge(self) -> int:
        """Where the cards end."""
        return LEFT + self.card

    @property
    def gutter(self) -> int:
        """Where the ways to COMPENSATED and to FAILED go."""
        return self.edge + 20

    @property
    def right(self) -> int:
        return self.width - 18


def svg(picture: Picture, *, standalone: bool = True, width: int = WIDTH) -> str:
    """The SVG element, ending with a new line.

    It is at most ``width`` pixels wide, WIDTH or NARROW, and shrinks with what is around it. Its
    class and its ids begin with ``saga-graph``, so that it can stand in a page, even in both
    widths. One that is not ``standalone`` leaves to the page what the page has: the rules of
    ``saga.graph.css``, the saga's name, and why it stands where it does.
    """
    canvas, sheet = Canvas(), _Sheet(width)
    y = _head(canvas, picture, sheet) if standalone else 6.0
    placed: list[Placed] = []
    starts = y
    y += 20
    for number, box in enumerate(picture.boxes, start=1):
        y += _GAP_AT_LINE if number - 1 == picture.no_return else _GAP
        placed.append(card(canvas, box, number=number, top=y, wide=sheet.card))
        y = placed[-1].bottom
    _ways(canvas, picture, placed, sheet, starts=starts)
    height = _ends(canvas, picture, placed, sheet, y) - (0 if standalone else 16)
    name = f"{picture.saga_type} {picture.where.saga_id}" if picture.where else picture.saga_type
    key = f"{SCOPE}-{_key(picture)}" if width == WIDTH else f"{SCOPE}-{_key(picture)}-{width}"
    left = 0 if standalone else _TRIMMED
    shown = width - 2 * left
    size = ' style="max-width:100%;height:auto"' if standalone else ""
    rules = f"<style>\n{css()}\n</style>\n" if standalone else ""
    if standalone:
        rules += (
            f'<rect x=".5" y=".5" width="{width - 1}" height="{height - 1:g}" rx="14" '
            'class="paper"/>\n'
        )
    drawn = "\n".join(canvas.elements)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" class="{SCOPE}" role="img" \
aria-labelledby="{key}-title {key}-desc" width="{shown}" height="{height:g}" \
viewBox="{left} 0 {shown} {height:g}"{size}>
<title id="{key}-title">{xml(name)}</title>
<desc id="{key}-desc">{xml(" ".join(picture.told()))}</desc>
{rules}{drawn}
</svg>
"""


def _key(picture: Picture) -> str:
    """What no other picture in the page is called."""
    if picture.where is not None:
        return picture.where.saga_id
    return f"{picture.saga_type}-{picture.version}"


def _head(canvas: Canvas, picture: Picture, sheet: _Sheet) -> float:
    room = sheet.right - LEFT
    y = canvas.paragraph(LEFT, 38, picture.saga_type, size=18, room=room, most=3, look="m b")
    canvas.text(LEFT, y - 2, picture.words, size=13, look="soft")
    y += 16
    where = picture.where
    if where is None:
        return y
    canvas.text(LEFT, y + 2, where.saga_id, size=12, look="m soft")
    y += 14
    frame = len(canvas.elements)
    sign = STATUSES[where.status]
    canvas.sign(SPINE, y + 22, sign)
    canvas.text(SPINE + 22, y + 27, sign.words, size=14, look=f"b {sign.tone}")
    below = canvas.paragraph(
        SPINE + 22, y + 47, picture.why, size=12.5, room=sheet.right - SPINE - 22 - 12, most=6
    )
    canvas.elements.insert(
        frame,
        f'<rect x="{LEFT}" y="{y:g}" width="{room}" height="{below - y - 4:g}" rx="10" '
        f'class="{sign.tone} on"/>',
    )
    return below + 10


def _ways(
    canvas: Canvas, picture: Picture, placed: list[Placed], sheet: _Sheet, *, starts: float
) -> None:
    """Draw the arrows: from step to step, back to COMPENSATED, and the line of no return."""
    canvas.add(f'<circle cx="{SPINE}" cy="{starts + 10:g}" r="5" class="tip"/>')
    before = starts + 15
    gone = "good" if picture.where else ""
    for number, (box, at) in enumerate(zip(picture.boxes, placed, strict=True)):
        canvas.line([(SPINE, before), (SPINE, at.top - 4)], look=gone)
        canvas.tip(SPINE, at.top - 1, down=True, tone=gone)
        if number == picture.no_return:
            _line_of_no_return(canvas, sheet, at.top - _GAP_AT_LINE / 2)
        before = at.bottom
        gone = "good" if box.effect is Effect.DONE else ""
    backs = [
        at.back
        for box, at in zip(picture.boxes, placed, strict=True)
        if box.role is not Role.RETRIABLE
    ]
    if not picture.goes_back:
        return
    tone = "back" if picture.where is None or picture.where.status in _WENT_BACK else ""
    _end(canvas, picture.back_end, picture, y=starts - 3, right=sheet.right)
    if backs:
        edge = sheet.edge
        for y in backs[:-1]:
            canvas.line([(edge, y), (sheet.gutter, y)], look=f"dash {tone}")
        canvas.line(
            [(edge, backs[-1]), (sheet.gutter, backs[-1]), (sheet.gutter, starts + 32)],
            look=f"dash {tone}",
        )
        canvas.tip(sheet.gutter, starts + 26, down=False, tone=tone)


_WENT_BACK = {Status.COMPENSATING, Status.COMPENSATED, Status.TIMEOUT}


def _line_of_no_return(canvas: Canvas, sheet: _Sheet, y: float) -> None:
    canvas.line([(LEFT, y), (sheet.right, y)], look="pivot")
    words = "no way back from here"
    middle = sheet.width / 2
    canvas.add(f'<rect x="{middle - 90:g}" y="{y - 9:g}" width="180" height="18" class="gap"/>')
    canvas.text(middle, y + 4, words, size=12, look="pivot b", anchor="middle")


def _ends(canvas: Canvas, picture: Picture, placed: list[Placed], sheet: _Sheet, y: float) -> float:
    """Draw COMPLETED and FAILED below the last card; give the picture's height."""
    ends_at_line = picture.no_return == len(placed)
    top = y + (_GAP_AT_LINE if ends_at_line else 40)
    where = picture.where
    completed = where is not None and where.status is Status.COMPLETED
    tone = "good" if completed else ""
    canvas.line([(SPINE, y), (SPINE, top - 4)], look=tone)
    canvas.tip(SPINE, top - 1, down=True, tone=tone)
    if ends_at_line:
        _line_of_no_return(canvas, sheet, y + 27)
    _end(canvas, Status.COMPLETED, picture, y=top, left=LEFT)
    _end(canvas, Status.FAILED, picture, y=top, right=sheet.right)
    failed_there = any(
        box.role is Role.RETRIABLE and box.activity is Activity.FAILED for box in picture.boxes
    )
    tone = "bad" if where is None or failed_there else ""
    risky = [
        at.top + 22
        for box, at in zip(picture.boxes, placed, strict=True)
        if box.role is Role.RETRIABLE and not box.is_skippable
    ] or [placed[-1].bottom - 14]
    edge = sheet.edge
    for start in risky[1:]:
        canvas.line([(edge, start), (sheet.gutter, start)], look=f"dash {tone}")
    canvas.line(
        [(edge, risky[0]), (sheet.gutter, risky[0]), (sheet.gutter, top - 8)], look=f"dash {tone}"
    )
    canvas.tip(sheet.gutter, top - 1, down=True, tone=tone)
    return top + 50


def _end(
    canvas: Canvas,
    status: Status,
    picture: Picture,
    *,
    y: float,
    left: float | None = None,
    right: float | None = None,
) -> None:
    """Draw where a saga can end; lit where this one did, or where no saga is drawn."""
    sign = STATUSES[status]
    lit = picture.where is None or picture.where.status is status
    tone = sign.tone if lit else "idle"
    wide = 46 + 9.5 * len(status)
    x = left if left is not None else (right or 0) - wide
    here = " here" if lit and picture.where else ""
    canvas.add(
        f'<rect x="{x:g}" y="{y:g}" width="{wide:g}" height="28" rx="14" class="{tone} on{here}"/>'
    )
    canvas.icon(x + 20, y + 14, sign.icon, tone=tone)
    canvas.text(x + 34, y + 18.5, sign.words, size=12.5, look=f"{tone} b")
