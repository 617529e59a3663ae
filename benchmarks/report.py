"""The figures as tables: on the screen, and as a page."""

from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.results import FLOWS, Results

_NONE = "-"
_FRONTS = {
    "a bare route": "bare",
    "workers stopped": "workersStopped",
    "workers running": "workersRunning",
}
_PROCESSES = ("worker", "recovery", "beat", "postgres", "redis", "sandbox", "producer")


def print_tables(results: Results, console: Console) -> None:
    for title, rows in _tables(results):
        table = Table(title=title, title_justify="left")
        head, *lines = rows
        for number, column in enumerate(head):
            table.add_column(column, justify="left" if number == 0 else "right")
        for cells in lines:
            table.add_row(*cells)
        console.print(table)
    for note in _notes(results):
        console.print(note, highlight=False)


def write_page(results: Results, file: Path) -> None:
    """The same tables in Markdown."""
    parts = ["# The last benchmark", *_notes(results), "![The figures as a plot](latest.svg)"]
    for title, rows in _tables(results):
        head, *lines = rows
        ruler = ["---", *("---:" for _ in head[1:])]
        grid = "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ruler, *lines))
        parts += [f"## {title}", grid]
    file.write_text("\n\n".join(parts) + "\n")


def _tables(results: Results) -> list[tuple[str, list[list[str]]]]:
    return [
        ("Refunds", _refunds(results)),
        ("CPU seconds per 1,000 refunds, by process", _cpu(results)),
        ("Counted by the servers, per refund", _counts(results)),
        ("Waiting", _waiting(results)),
        _http(results["http"]),
        _lists(results["lists"]),
        _uploads(results["uploads"]),
    ]


def _refunds(results: Results) -> list[list[str]]:
    head = ["", "refunds/s", "range", "worker CPU s per 1,000", "range", "of plain"]
    rows = []
    for flow in FLOWS:
        found = results["refund"][flow]
        spread = results["spread"].get(flow, {})
        plain = results["refund"]["plain"]["perSecond"]
        share = None if found["perSecond"] is None else found["perSecond"] / plain
        rows.append(
            [
                flow,
                _number(found["perSecond"], 1),
                _range(spread.get("perSecond")),
                _number(found["cpuSecondsPer1000"], 1),
                _range(spread.get("cpuSecondsPer1000")),
                _NONE if share is None else f"{share:.2f}",
            ]
        )
    return [head, *rows]


def _cpu(results: Results) -> list[list[str]]:
    flows = list(results["repetitions"])
    rows = [
        [process, *(_number(cpu_of(results, flow, process), 2) for flow in flows)]
        for process in _PROCESSES
    ]
    return [["", *flows], *rows]


def cpu_of(results: Results, flow: str, process: str) -> float | None:
    """The median CPU seconds per 1,000 refunds; None where the flow has no such process."""
    found = [
        each["cpuSecondsPer1000"][process]
        for each in results["repetitions"][flow]
        if process in each["cpuSecondsPer1000"]
    ]
    return float(median(found)) if found else None


def _counts(results: Results) -> list[list[str]]:
    flows = list(results["counts"])
    names = {
        "commits": "commits",
        "messages": "messages",
        "rowsWritten": "rows written",
        "eventsPublished": "events for Flower",
    }
    rows = [
        [said, *(_number(results["counts"][flow][name], 2) for flow in flows)]
        for name, said in names.items()
    ]
    return [["", *flows], *rows]


def _waiting(results: Results) -> list[list[str]]:
    start, scan, take_over = results["start"], results["scan"], results["takeOver"]
    scanned = f"scan over {scan['finishedRows']:,} finished and {scan['dueRows']:,} due sagas"
    return [
        ["", "median", "worst"],
        [
            f"start, {start['offeredPerSecond']} a second",
            f"{start['p50Ms']:.1f} ms",
            f"{start['p99Ms']:.1f} ms (99 %), {start['maxMs']:.1f} ms",
        ],
        [scanned, f"{scan['scanMs']:.2f} ms", f"{scan['maxMs']:.2f} ms"],
        [
            "take-over of a killed worker",
            f"{take_over['takeOverSeconds']:.1f} s",
            f"{max(take_over['trials']):.1f} s",
        ],
    ]


def _http(found: dict[str, Any]) -> tuple[str, list[list[str]]]:
    budget = found["budgetMs"]
    title = (
        f"{found['requests']:,} refunds started over HTTP, {found['offeredPerSecond']} a second; "
        f"99 % within {budget} ms inside the server while workers are stopped"
    )
    head = ["", "inside: median", "99 %", "of bare", "worst", "outside: median", "99 %"]
    rows = [[*head, "CPU ms each", "of a core", "foreign load", "accepted", "found", "budget"]]
    for said, name in _FRONTS.items():
        one = found[name]
        inside, outside = one["inside"], one["outside"]
        rows.append(
            [
                said,
                f"{inside['p50Ms']:.1f} ms",
                f"{inside['p99Ms']:.1f} ms",
                _number(one.get("toBare", {}).get("p50Ms"), 1),
                f"{inside['maxMs']:.1f} ms",
                f"{outside['p50Ms']:.1f} ms",
                f"{outside['p99Ms']:.1f} ms",
                f"{one['cpuMsPerAnswer']:.1f}",
                f"{one['coreShare']:.0%}",
                f"{one['foreignShare']:.0%}",
                _number(one.get("accepted"), 0),
                _number(one.get("found"), 0),
                _NONE,
            ]
        )
    within = found["workersStopped"]["inside"]["p99Ms"] < budget
    rows[list(_FRONTS.values()).index("workersStopped") + 1][-1] = "PASS" if within else "FAIL"
    return title, rows


def _lists(found: dict[str, Any]) -> tuple[str, list[list[str]]]:
    budget = found["budgetMs"]
    title = (
        f"Lists over {found['restingRows']:,} sagas at rest and {found['openRows']:,} open ones, "
        f"each asked {found['times']} times; 99 % within {budget:.0f} ms"
    )
    rows = [
        [
            one["question"],
            f"{one['medianMs']:.1f} ms",
            f"{one['p99Ms']:.1f} ms",
            "PASS" if one["p99Ms"] < budget else "FAIL",
        ]
        for one in found["questions"]
    ]
    return title, [["", "median", "99 %", "budget"], *rows]


def _uploads(found: dict[str, Any]) -> tuple[str, list[list[str]]]:
    budget = found["budgetMb"]
    title = (
        f"Uploads of {found['fileMb']} MB, medians of {found['times']}; API and worker within "
        f"{budget} MB of memory each"
    )
    rows = [
        [
            one["store"],
            *(_number(one[f"{name}MbPerSecond"], 1) for name in ("receive", "store", "whole")),
            _number(one["plainMbPerSecond"], 1),
            f"{one['storeToPlain']:.2f}",
            _number(one["apiPeakMb"], 1),
            _number(one["workerPeakMb"], 1),
            _verdict(one, budget),
        ]
        for one in found["stores"]
    ]
    head = ["", "received, MB/s", "stored, MB/s", "in all, MB/s", "obstore alone, MB/s"]
    return title, [[*head, "of plain", "API, MB", "worker, MB", "budget"], *rows]


def _verdict(one: dict[str, Any], budget: float) -> str:
    peaks = [one["apiPeakMb"], one["workerPeakMb"]]
    if None in peaks:
        return _NONE
    return "PASS" if max(peaks) <= budget else "FAIL"


def _notes(results: Results) -> list[str]:
    machine, foreign = results["machine"], results["foreignLoad"]
    repetitions = min(len(found) for found in results["repetitions"].values())
    refunds = results["repetitions"]["plain"][0]["refunds"]
    how = "a short run, not for comparing" if results["quick"] else "a full run"
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    when = (
        f"{results['when']}, {how}: medians of {repetitions} repetitions of {refunds:,} refunds, "
        f"in turns. {machine['cores']} cores ({machine['cpu']}), "
        f"{machine['memoryMb'] / 1024:.0f} GB, {machine['system']}."
    )
    load = (
        f"Foreign load, as the share of all cores that other processes used meanwhile: "
        f"{foreign['median']:.0%}, at most {foreign['max']:.0%}."
    )
    return [when, load, f"{versions}."]


def _number(figure: Any, digits: int) -> str:
    return _NONE if figure is None else f"{figure:,.{digits}f}"


def _range(figures: Any) -> str:
    return _NONE if figures is None else f"{figures[0]:.1f} to {figures[1]:.1f}"
