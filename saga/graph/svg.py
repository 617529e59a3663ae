"""A picture as an SVG: no script, no font and no file besides it."""

from saga.definition import Role
from saga.graph.canvas import Canvas, xml
from saga.graph.card import LEFT, SPINE, Placed, card
from saga.graph.card import WIDTH as CARD
from saga.graph.look import SCOPE, STATUSES, css
from saga.graph.picture import Picture
from saga.graph.where import Activity
from saga.position import Status
from saga.task import Effect

WIDTH = 480

_RIGHT = WIDTH - 18
_GUTTER = LEFT + CARD + 20  # where the ways to COMPENSATED and to FAILED go
_GAP = 26
_GAP_AT_LINE = 54


def svg(picture: Picture, *, standalone: bool = True) -> str:
    """The SVG element, ending with a new line.

    It is at most ``WIDTH`` pixels wide and shrinks with what is around it. Its class and its ids
    begin with ``saga-graph``, so that it can stand in a page. One that is not ``standalone`` leaves
    to the page what the page has: the rules of ``saga.graph.css``, the saga's name, and why it
    stands where it does.
    """
    canvas = Canvas()
    y = _head(canvas, picture) if standalone else 10.0
    placed: list[Placed] = []
    starts = y
    y += 20
    for number, box in enumerate(picture.boxes, start=1):
        y += _GAP_AT_LINE if number - 1 == picture.no_return else _GAP
        placed.append(card(canvas, box, number=number, top=y))
        y = placed[-1].bottom
    _ways(canvas, picture, placed, starts=starts)
    height = _ends(canvas, picture, placed, y)
    name = f"{picture.saga_type} {picture.where.saga_id}" if picture.where else picture.saga_type
    key = f"{SCOPE}-{picture.where.saga_id if picture.where else picture.saga_type}"
    if standalone:
        canvas.elements.insert(
            0,
            f'<rect x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1:g}" rx="14" '
            'class="paper"/>',
        )
    drawn = "\n".join(canvas.elements)
    size = ' style="max-width:100%;height:auto"' if standalone else ""
    rules = f"<style>\n{css()}\n</style>\n" if standalone else ""
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" class="{SCOPE}" role="img" \
aria-labelledby="{key}-title {key}-desc" width="{WIDTH}" height="{height:g}" \
viewBox="0 0 {WIDTH} {height:g}"{size}>
<title id="{key}-title">{xml(name)}</title>
<desc id="{key}-desc">{xml(" ".join(picture.told()))}</desc>
{rules}{drawn}
</svg>
"""


def _head(canvas: Canvas, picture: Picture) -> float:
    room = _RIGHT - LEFT
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
        SPINE + 22, y + 47, picture.why, size=12.5, room=_RIGHT - SPINE - 22 - 12, most=6
    )
    canvas.elements.insert(
        frame,
        f'<rect x="{LEFT}" y="{y:g}" width="{room}" height="{below - y - 4:g}" rx="10" '
        f'class="{sign.tone} on"/>',
    )
    return below + 10


def _ways(canvas: Canvas, picture: Picture, placed: list[Placed], *, starts: float) -> None:
    """Draw the arrows: from step to step, back to COMPENSATED, and the line of no return."""
    canvas.add(f'<circle cx="{SPINE}" cy="{starts + 10:g}" r="5" class="tip"/>')
    before = starts + 15
    gone = "good" if picture.where else ""
    for number, (box, at) in enumerate(zip(picture.boxes, placed, strict=True)):
        canvas.line([(SPINE, before), (SPINE, at.top - 4)], look=gone)
        canvas.tip(SPINE, at.top - 1, down=True, tone=gone)
        if number == picture.no_return:
            _line_of_no_return(canvas, at.top - _GAP_AT_LINE / 2)
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
    _end(canvas, picture.back_end, picture, y=starts - 3, right=_RIGHT)
    if backs:
        edge = LEFT + CARD
        for y in backs[:-1]:
            canvas.line([(edge, y), (_GUTTER, y)], look=f"dash {tone}")
        canvas.line(
            [(edge, backs[-1]), (_GUTTER, backs[-1]), (_GUTTER, starts + 32)], look=f"dash {tone}"
        )
        canvas.tip(_GUTTER, starts + 26, down=False, tone=tone)


_WENT_BACK = {Status.COMPENSATING, Status.COMPENSATED, Status.TIMEOUT}


def _line_of_no_return(canvas: Canvas, y: float) -> None:
    canvas.line([(LEFT, y), (_RIGHT, y)], look="pivot")
    words = "no way back from here"
    canvas.add(f'<rect x="150" y="{y - 9:g}" width="180" height="18" class="gap"/>')
    canvas.text(240, y + 4, words, size=12, look="pivot b", anchor="middle")


def _ends(canvas: Canvas, picture: Picture, placed: list[Placed], y: float) -> float:
    """Draw COMPLETED and FAILED below the last card; give the picture's height."""
    ends_at_line = picture.no_return == len(placed)
    top = y + (_GAP_AT_LINE if ends_at_line else 40)
    where = picture.where
    completed = where is not None and where.status is Status.COMPLETED
    tone = "good" if completed else ""
    canvas.line([(SPINE, y), (SPINE, top - 4)], look=tone)
    canvas.tip(SPINE, top - 1, down=True, tone=tone)
    if ends_at_line:
        _line_of_no_return(canvas, y + 27)
    _end(canvas, Status.COMPLETED, picture, y=top, left=LEFT)
    _end(canvas, Status.FAILED, picture, y=top, right=_RIGHT)
    failed_there = any(
        box.role is Role.RETRIABLE and box.activity is Activity.FAILED for box in picture.boxes
    )
    tone = "bad" if where is None or failed_there else ""
    risky = [
        at.top + 22
        for box, at in zip(picture.boxes, placed, strict=True)
        if box.role is Role.RETRIABLE and not box.is_skippable
    ] or [placed[-1].bottom - 14]
    edge = LEFT + CARD
    for start in risky[1:]:
        canvas.line([(edge, start), (_GUTTER, start)], look=f"dash {tone}")
    canvas.line([(edge, risky[0]), (_GUTTER, risky[0]), (_GUTTER, top - 8)], look=f"dash {tone}")
    canvas.tip(_GUTTER, top - 1, down=True, tone=tone)
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
