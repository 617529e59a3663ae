"""The figures as a picture: medians as bars, each repetition as a dot."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.report import cpu_of
from benchmarks.results import Results

_COLOURS = {"plain": "#8a8f98", "chained": "#1f6feb"}
_STACK = {
    "worker": "#1f6feb",
    "recovery": "#0b3d91",
    "beat": "#9ec1ff",
    "postgres": "#2e8b57",
    "redis": "#c0392b",
    "sandbox": "#c9b458",
}
_BAR = 0.55
_POINTS = "offset points"


def draw(results: Results, file: Path) -> None:
    """Write the plot; the file's ending says in which format."""
    with plt.rc_context({"font.size": 10, "svg.hashsalt": "benchmarks", "svg.fonttype": "none"}):
        figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
        _throughput(axes[0], results)
        _cpu(axes[1], results)
        _start(axes[2], results)
        for each in axes:
            each.spines[["top", "right"]].set_visible(False)
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
        plt.close(figure)


def _throughput(axes: Axes, results: Results) -> None:
    for place, (flow, found) in enumerate(results["repetitions"].items()):
        middle = results["refund"][flow]["perSecond"]
        axes.bar(place, middle, width=_BAR, color=_COLOURS[flow], alpha=0.55)
        seen = [each["perSecond"] for each in found]
        count = len(seen)
        spread = [place + (n - (count - 1) / 2) * 0.3 / max(count - 1, 1) for n in range(count)]
        axes.scatter(spread, seen, s=22, color=_COLOURS[flow], edgecolor="white", zorder=3)
        label = f"{middle:.1f}"
        axes.annotate(label, (place, max(*seen, middle)), (0, 6), ha="center", textcoords=_POINTS)
    _flows(axes, results)
    axes.set_title("Refunds per second")


def _cpu(axes: Axes, results: Results) -> None:
    flows = list(results["repetitions"])
    heights = [0.0] * len(flows)
    for process, colour in _STACK.items():
        seconds = [cpu_of(results, flow, process) or 0.0 for flow in flows]
        axes.bar(
            range(len(flows)), seconds, bottom=heights, width=_BAR, color=colour, label=process
        )
        heights = [below + own for below, own in zip(heights, seconds, strict=True)]
    _flows(axes, results)
    axes.set_title("CPU seconds per 1,000 refunds")
    # From above, as the bars are stacked.
    axes.legend(
        reverse=True, frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5)
    )


def _start(axes: Axes, results: Results) -> None:
    start, http = results["start"], results["http"]["workersStopped"]
    drawn = (
        ("in Python", _COLOURS["chained"], start["quantilesMs"], start),
        ("over HTTP", _STACK["postgres"], http["quantilesMs"], http["inside"]),
    )
    for said, colour, quantiles, found in drawn:
        label = f"{said}\n50 %: {found['p50Ms']:.1f} ms\n99 %: {found['p99Ms']:.1f} ms"
        axes.plot(quantiles[:100], range(100), color=colour, label=label)
        axes.scatter([found["p50Ms"], found["p99Ms"]], [50, 99], color=colour, zorder=3)
    axes.set_xlim(0, max(start["p99Ms"], http["inside"]["p99Ms"]) * 1.2)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes.set_ylim(0, 105)
    axes.set_xlabel("milliseconds")
    axes.set_ylabel("% of starts took at most")
    axes.set_title(f"A start, at {start['offeredPerSecond']} a second")


def _flows(axes: Axes, results: Results) -> None:
    flows = list(results["repetitions"])
    axes.set_xticks(range(len(flows)), flows)
    axes.set_xlim(-0.6, len(flows) - 0.4)
    axes.margins(y=0.15)
    axes.set_ylim(bottom=0)
