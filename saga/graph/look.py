"""How the parts of an SVG look: colours for light and dark, and the icons.

Every state has an icon of its own shape and its words beside it; colour only adds to them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from saga.graph.where import Activity
from saga.position import Status
from saga.task import Effect


@dataclass(frozen=True)
class Sign:
    """How a state is shown: its words, the tone of its colours, and its icon around 0, 0."""

    words: str
    tone: str
    icon: str


_CHECK = "M-5 .5 -1.5 4 5-4"
_CROSS = "M-4-4 4 4M4-4-4 4"
_DASH = "M-4.5 0H4.5"
BACK = "M4.5 4.5C4.5-.5 1.5-2-4-2M-.8-5.2-4-2-.8 1.2"
_ASKS = "M-3-2.6C-3-6.4 3-6.4 3-2.6 3-.3 0-.3 0 2M0 5V5.1"
_PLAYS = "M-2.6-4.2 4.4 0-2.6 4.2Z"
_CLOCK = "M0-5.2V.3L3.8 2.6"
_BARS = "M-2.4-4V4M2.4-4V4"

EFFECTS: Mapping[Effect, Sign] = {
    Effect.NOT_STARTED: Sign("not started", "idle", ""),
    Effect.DONE: Sign("done", "good", _CHECK),
    Effect.NOT_DONE: Sign("not done", "idle", _DASH),
    Effect.UNKNOWN: Sign("unknown", "doubt", _ASKS),
    Effect.COMPENSATED: Sign("compensated", "back", BACK),
    Effect.COMPENSATION_FAILED: Sign("compensation failed", "bad", _CROSS),
}

ACTIVITIES: Mapping[Activity, Sign] = {
    Activity.RUNNING: Sign("running", "busy", _PLAYS),
    Activity.WAITING: Sign("waiting", "wait", _CLOCK),
    Activity.PAUSED: Sign("paused", "wait", _BARS),
    Activity.COMPENSATING: Sign("compensating", "back", BACK),
    Activity.FAILED: Sign("FAILED", "bad", _CROSS),
}

STATUSES: Mapping[Status, Sign] = {
    Status.RUNNING: Sign("RUNNING", "busy", _PLAYS),
    Status.COMPLETED: Sign("COMPLETED", "good", _CHECK),
    Status.COMPENSATING: Sign("COMPENSATING", "back", BACK),
    Status.COMPENSATED: Sign("COMPENSATED", "back", BACK),
    Status.TIMEOUT: Sign("TIMEOUT", "back", _CLOCK),
    Status.FAILED: Sign("FAILED", "bad", _CROSS),
}

# Of each tone: line and text, and the ground below it, in light and in dark.
_TONES = {
    "idle": ("#64748b", "#f1f5f9", "#94a3b8", "#1e293b"),
    "good": ("#15803d", "#dcfce7", "#4ade80", "#12321f"),
    "busy": ("#1d4ed8", "#dbeafe", "#7db0ff", "#172c54"),
    "wait": ("#a16207", "#fef6c8", "#facc15", "#3a2f0b"),
    "doubt": ("#7e22ce", "#f3e8ff", "#c99bff", "#331a4d"),
    "back": ("#c2410c", "#ffedd5", "#fb9a4b", "#43230f"),
    "bad": ("#b91c1c", "#fee2e2", "#ff8585", "#48191b"),
    "pivot": ("#92600a", "#fdf0c4", "#f5c542", "#3b2d0a"),
}

SANS = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue','DejaVu Sans',Arial,sans-serif"
MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"

# Paper and its edge, card and its edge, text, softer text, lines.
_LIGHT = ("#ffffff", "#e2e8f0", "#fcfdfe", "#cbd5e1", "#0f172a", "#52607a", "#8391a7")
_DARK = ("#0d131c", "#273244", "#151d29", "#3b4a61", "#e8eef7", "#a3b2c7", "#74849b")

# The class of every picture.
SCOPE = "saga-graph"

# "&" is the scope, as in nested CSS.
_SHAPES = f"""
& text{{font-family:{SANS}}}
& .m{{font-family:{MONO}}}
& .b{{font-weight:600}}
& path{{fill:none;stroke-linecap:round;stroke-linejoin:round}}
& .card{{stroke-width:1.2}}
& .here{{stroke-width:2.6}}
& .i{{stroke-width:1.9}}
& .line{{stroke-width:1.6}}
& .thin{{stroke-width:1}}
& .dash{{stroke-dasharray:5 5}}
"""


def css(scope: str = SCOPE) -> str:
    """The rules for everything below the class ``scope``: a page around it keeps its own look."""
    light = _grounds(_LIGHT) + "".join(_tone(name, *tone[:2]) for name, tone in _TONES.items())
    dark = _grounds(_DARK) + "".join(_tone(name, *tone[2:]) for name, tone in _TONES.items())
    rules = f"{_SHAPES}{light}@media (prefers-color-scheme:dark){{\n{dark}}}"
    return rules.replace("&", f".{scope}").strip()


def _grounds(colors: tuple[str, ...]) -> str:
    paper, edge, card, card_edge, text, soft, line = colors
    return f"""
& .paper{{fill:{paper};stroke:{edge}}}
& .gap{{fill:{paper}}}
& .card{{fill:{card};stroke:{card_edge}}}
& .line{{stroke:{line}}}
& .thin{{stroke:{card_edge}}}
& .tip{{fill:{line};stroke:none}}
& text{{fill:{text}}}
& .soft{{fill:{soft}}}
"""


def _tone(name: str, ink: str, ground: str) -> str:
    return f"""
& .{name}.line,& .{name}.i,& .{name}.card{{stroke:{ink}}}
& .{name}.tip,& text.{name}{{fill:{ink}}}
& .{name}.on{{fill:{ground};stroke:{ink}}}
""".lstrip()
