"""One step as a card, with its compensation below."""

from dataclasses import dataclass

from saga.definition import Role
from saga.graph.canvas import PILL, Canvas, pill_width
from saga.graph.look import ACTIVITIES, BACK, EFFECTS, Sign
from saga.graph.picture import Back, Box
from saga.graph.where import Activity
from saga.task import Effect

LEFT = 24
SPINE = LEFT + 25  # where the arrows from step to step go

_TEXT = LEFT + 50
_SIZE = 12.5


@dataclass(frozen=True)
class Placed:
    """Where a card was put: its edges, and the height at which its compensation leaves it."""

    top: float
    bottom: float
    back: float


def sign_of(box: Box) -> Sign | None:
    """What the card's circle shows: what goes on there, else what is known of its effect."""
    if box.activity is not None:
        return ACTIVITIES[box.activity]
    return None if box.effect is None else EFFECTS[box.effect]


def card(canvas: Canvas, box: Box, *, number: int, top: float, wide: int) -> Placed:
    """Draw the card of step ``number``, so ``wide``."""
    room = wide - 50 - 14
    # The frame goes below what stands on it, but is as high as that turns out to be.
    frame = len(canvas.elements)
    y = canvas.paragraph(_TEXT, top + 27, box.name, size=14, room=room, most=3, look="m b")
    y = _words(canvas, box, _signs(canvas, box, y - 9, room), room)
    leaves = top + 22.0
    if box.back is not None:
        y, below = _back(canvas, box, box.back, y, wide)
        # A pivot that did not happen goes back; its own compensation is nothing to that.
        leaves = leaves if box.back.if_ordered else below
    bottom = y + 1
    sign = sign_of(box)
    tone = "" if sign is None or box.activity is None else f" here {sign.tone}"
    canvas.elements.insert(
        frame,
        f'<rect x="{LEFT}" y="{top:g}" width="{wide}" height="{bottom - top:g}" rx="10" '
        f'class="card{tone}"/>',
    )
    if sign is not None:
        canvas.sign(SPINE, top + 22, sign)
    else:
        tone = "pivot" if box.role is Role.PIVOT else "idle"
        canvas.add(f'<circle cx="{SPINE}" cy="{top + 22:g}" r="11" class="{tone} on"/>')
        canvas.text(SPINE, top + 26, f"{number}", size=12, look=f"{tone} b", anchor="middle")
    if sign is not None and box.activity is not None:
        canvas.add(f'<path d="M{LEFT - 16} {top + 15:g}l10 7-10 7z" class="tip {sign.tone}"/>')
    return Placed(top=top, bottom=bottom, back=leaves)


def _signs(canvas: Canvas, box: Box, y: float, room: float) -> float:
    """Say what goes on at the step where the saga stands."""
    if box.activity is None or box.effect is None:
        return y
    sign, known = ACTIVITIES[box.activity], EFFECTS[box.effect]
    x = _TEXT + canvas.pill(_TEXT, y, sign.words, tone=sign.tone) + 6
    if box.effect is not Effect.NOT_STARTED:
        words = f"effect: {known.words}"
        if x + pill_width(words) > _TEXT + room:
            x, y = _TEXT, y + PILL + 6
        canvas.pill(x, y, words, tone=known.tone)
    return y + PILL + 6


def _words(canvas: Canvas, box: Box, y: float, room: float) -> float:
    """Say the role, what is known of the effect, and all that the definition says."""
    if box.effect is not None and box.activity is None:
        known = EFFECTS[box.effect]
        x = _TEXT + canvas.pill(_TEXT, y, known.words, tone=known.tone) + 8
        if box.tells:
            left = _TEXT + room - x
            y = canvas.paragraph(x, y + 13, box.tells, size=_SIZE, room=left, most=3) - 31
        y += PILL + 6
    elif box.tells:
        y = canvas.paragraph(_TEXT, y + 10, box.tells, size=_SIZE, room=room, most=2) - 7
    tone = "pivot" if box.role is Role.PIVOT else "idle"
    wide = canvas.pill(_TEXT, y, box.role, tone=tone)
    canvas.text(_TEXT + wide + 8, y + 13, box.kind, size=_SIZE, look="soft")
    y = canvas.paragraph(
        _TEXT, y + PILL + 17, box.limits, size=_SIZE, room=room, most=2, look="soft"
    )
    if box.probe is not None:
        canvas.text(_TEXT, y, "probe", size=_SIZE, look="soft")
        y = canvas.paragraph(
            _TEXT + 44, y, box.probe, size=12, room=room - 44, most=2, look="m soft"
        )
    return y - 4


def _back(canvas: Canvas, box: Box, back: Back, y: float, wide: int) -> tuple[float, float]:
    """Draw the compensation; give the ``y`` below it, and its own height."""
    room = wide - 50 - 14
    canvas.line([(LEFT + 12, y), (LEFT + wide - 12, y)], look="dash thin")
    y += 20
    tone = _tone(box, back)
    canvas.icon(SPINE, y - 4, BACK, tone=tone)
    height = y - 4
    if back.name is not None:
        y = canvas.paragraph(_TEXT, y, back.name, size=12.5, room=room, most=3, look="m")
    y = canvas.paragraph(_TEXT, y, back.words, size=_SIZE, room=room, most=4, look="soft")
    return y - 5, height


def _tone(box: Box, back: Back) -> str:
    if box.effect is None:
        return "idle" if back.if_ordered else "back"
    if box.activity is Activity.COMPENSATING or box.effect is Effect.COMPENSATED:
        return "back"
    return "bad" if box.effect is Effect.COMPENSATION_FAILED else "idle"
