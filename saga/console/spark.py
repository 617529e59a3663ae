"""Small pictures of a saga type's last hour: how many went which way, and how long they took.

Pure. They stretch to the room that they are given, take their colours from the page, and say in
words what they show.
"""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import groupby

from markupsafe import Markup

from saga.graph.words import duration
from saga.rates import BUCKET, BUCKETS, Bucket, Rates
from saga.timeline import took

_WIDTH, _HEIGHT = 160, 36
_TOP, _BASE = 3.0, 34.0
_SLOT = _WIDTH / BUCKETS
_GAP = 1.6
# One that failed among thousands is seen all the same.
_LEAST = 2.0
_ROOM = _BASE - _TOP - 2 * _LEAST

_MINUTE = timedelta(minutes=1)


def ways(rates: Rates | None) -> Markup:
    """How many sagas completed, went back and failed, as bars; a line tells how many were started.

    None: nothing happened; then it is a calm line.
    """
    if rates is None:
        return _calm("Nothing happened in the last hour.")
    most = max(max(bucket.started, _ended(bucket)) for bucket in rates.buckets)
    scale = _ROOM / max(most, 1)
    bars = (
        _slot(number, _told(bucket), "".join(_stack(bucket, scale)))
        for number, bucket in enumerate(rates.buckets)
    )
    said = f"In the last hour{_so_many(rates)}: {_told(rates.whole, when=False)}."
    return _picture(said, (_unseen(rates), _started(rates, scale), *bars))


def lengths(rates: Rates | None) -> Markup:
    """How long the sagas took that came to rest: a line for half of them, a band up to 95 of 100.

    None, or none came to rest: a calm line.
    """
    if rates is None or rates.whole.p95 is None:
        return _calm("Nothing came to rest in the last hour.")
    longest = max(bucket.p95 for bucket in rates.buckets if bucket.p95 is not None)
    scale = _ROOM / max(longest.total_seconds(), 0.001)
    points = [_point(number, bucket, scale) for number, bucket in enumerate(rates.buckets)]
    runs = (list(run) for is_one, run in groupby(points, key=bool) if is_one)
    lines = [_line([point for point in run if point]) for run in runs]
    hints = (
        _slot(number, f"{_when(bucket)}: {times(bucket)}", "")
        for number, bucket in enumerate(rates.buckets)
    )
    said = f"In the last hour{_so_many(rates)}: {times(rates.whole)}."
    return _picture(said, (_unseen(rates), *lines, *hints))


def counts(bucket: Bucket) -> list[tuple[str, str, int]]:
    """Tone, words and number of each way that any saga went."""
    all_ways = (
        ("idle", "started", bucket.started),
        ("good", "completed", bucket.completed),
        ("back", "went back", bucket.back),
        ("bad", "failed", bucket.failed),
    )
    return [way for way in all_ways if way[2]]


def times(bucket: Bucket) -> str:
    """How long they took, in words."""
    if bucket.median is None or bucket.p95 is None:
        return "nothing came to rest"
    return f"half of them within {lasted(bucket.median)}, 95 of 100 within {lasted(bucket.p95)}"


def lasted(time: timedelta) -> str:
    """``3 ms``, ``1.2 s``, ``1 min 30 s``."""
    if time < _MINUTE:
        return took(time.total_seconds())
    return duration(timedelta(seconds=round(time.total_seconds())))


def _told(bucket: Bucket, *, when: bool = True) -> str:
    said = ", ".join(f"{number} {words}" for _, words, number in counts(bucket))
    return f"{_when(bucket)}: " * when + (said or "nothing happened")


def _when(bucket: Bucket) -> str:
    return f"{bucket.at:%H:%M} to {bucket.at + BUCKET:%H:%M} UTC"


def _so_many(rates: Rates) -> str:
    return "" if rates.counted_from is None else ", of the newest that were counted"


def _ended(bucket: Bucket) -> int:
    return bucket.completed + bucket.back + bucket.failed


def _stack(bucket: Bucket, scale: float) -> Iterator[str]:
    top = _BASE
    ended = (("good", bucket.completed), ("back", bucket.back), ("bad", bucket.failed))
    for tone, number in ended:
        if number:
            height = max(number * scale, _LEAST)
            top -= height
            size = f'width="{_SLOT - 2 * _GAP:.2f}" height="{height:.2f}"'
            yield f'<rect class="ended {tone}" x="{_GAP}" y="{top:.2f}" {size}/>'


def _started(rates: Rates, scale: float) -> str:
    """One step a bucket, none of them hidden behind a bar."""
    if not rates.whole.started:
        return ""
    steps = "".join(
        f"V{_BASE - bucket.started * scale:.2f}H{(number + 1) * _SLOT:.2f}"
        for number, bucket in enumerate(rates.buckets)
    )
    return f'<path class="started" d="M0 {_BASE:g}{steps}V{_BASE:g}"/>'


def _point(number: int, bucket: Bucket, scale: float) -> tuple[float, float, float] | None:
    """Where it is, the height of its half, and that of 95 of 100."""
    if bucket.median is None or bucket.p95 is None:
        return None
    half, most = (_BASE - time.total_seconds() * scale for time in (bucket.median, bucket.p95))
    return (number + 0.5) * _SLOT, half, most


def _line(points: list[tuple[float, float, float]]) -> str:
    # One alone has a width, too.
    ends = ((points[0], -_SLOT / 2 + _GAP), (points[-1], _SLOT / 2 - _GAP))
    first, last = ((x + beyond, half, most) for (x, half, most), beyond in ends)
    along = [first, *points, last]
    half = "L".join(f"{x:.2f} {at:.2f}" for x, at, _ in along)
    back = "L".join(f"{x:.2f} {at:.2f}" for x, _, at in reversed(along))
    return f'<path class="band" d="M{half}L{back}Z"/><path class="half" d="M{half}"/>'


def _unseen(rates: Rates) -> str:
    """The time of which not all was counted."""
    if rates.counted_from is None:
        return ""
    share = (rates.counted_from - rates.buckets[0].at) / (BUCKET * BUCKETS)
    width = _WIDTH * min(max(share, 0), 1)
    return f'<rect class="unseen" width="{width:.2f}" height="{_BASE:g}"/>'


def _slot(number: int, said: str, drawn: str) -> str:
    # What is said of a bucket is shown wherever the pointer is in it.
    room = f'<rect class="room" width="{_SLOT:.2f}" height="{_HEIGHT}"/>'
    last = " now" if number == BUCKETS - 1 else ""
    at = f'transform="translate({number * _SLOT:.2f} 0)"'
    return f'<g class="slot{last}" {at}><title>{said}</title>{room}{drawn}</g>'


def _calm(said: str) -> Markup:
    return _picture(said, (), "spark calm-line")


def _picture(said: str, drawn: Iterable[str], name: str = "spark") -> Markup:
    """All that is in it is made here, from numbers."""
    base = f'<path class="base" d="M0 {_BASE:g}H{_WIDTH}"/>'
    inner = f"<title>{said}</title>{base}{''.join(drawn)}"
    box = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none"'
    return Markup(f'<svg class="{name}" role="img" {box}>{inner}</svg>')  # noqa: S704
