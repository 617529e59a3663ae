"""What a run found, as ``latest.json`` has it. What nobody measured is null."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.throughput import CHAINED, PLAIN, Repetition, middle

FLOWS = (PLAIN, CHAINED, "fused", "dbos", "restate")
_NOT_MEASURED = {"perSecond": None, "cpuSecondsPer1000": None}
_RATIOS = {
    "chainedToPlain": (CHAINED, PLAIN),
    "fusedToPlain": ("fused", PLAIN),
    "fusedToRestate": ("fused", "restate"),
    "fusedToDbos": ("fused", "dbos"),
}

Results = dict[str, Any]


def assemble(
    *,
    repetitions: Mapping[str, Sequence[Repetition]],
    start: Mapping[str, Any],
    http: Mapping[str, Any],
    counts: Mapping[str, Mapping[str, float]],
    take_over: Mapping[str, Any],
    scan: Mapping[str, Any],
    lists: Mapping[str, Any],
    uploads: Mapping[str, Any],
    surroundings: Mapping[str, Any],
) -> Results:
    """One object of everything. ``surroundings`` is what tells one run from another."""
    measured = {name: middle(found) for name, found in repetitions.items()}
    refund = {name: measured.get(name, _NOT_MEASURED) for name in FLOWS}
    chained = counts[CHAINED]
    shares = [each.usage.foreign_share for found in repetitions.values() for each in found]
    return {
        "refund": refund,
        "ratios": {
            name: _ratio(refund[over], refund[under], "perSecond")
            for name, (over, under) in _RATIOS.items()
        },
        "start": dict(start),
        "http": dict(http),
        "commitsPerRefund": chained["commits"],
        "messagesPerRefund": chained["messages"],
        "rowsWrittenPerRefund": chained["rowsWritten"],
        "takeOverSeconds": take_over["takeOverSeconds"],
        "scanMs": scan["scanMs"],
        "cpuRatios": {
            "chainedToPlain": _ratio(refund[CHAINED], refund[PLAIN], "cpuSecondsPer1000")
        },
        "counts": {flow: dict(found) for flow, found in counts.items()},
        "takeOver": dict(take_over),
        "scan": dict(scan),
        "lists": dict(lists),
        "uploads": dict(uploads),
        "spread": {
            name: {
                "perSecond": _range([each.per_second for each in found]),
                "cpuSecondsPer1000": _range([each.cpu_per_1000("worker") for each in found]),
            }
            for name, found in repetitions.items()
        },
        "repetitions": {
            name: [each.as_json() for each in found] for name, found in repetitions.items()
        },
        "foreignLoad": {"median": round(median(shares), 3), "max": round(max(shares), 3)},
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        **surroundings,
    }


def write(results: Results, file: Path) -> None:
    text = json.dumps(results, indent=2)
    # Lists of figures read better on one line.
    figures = re.compile(r"\[\s*([^\[\]{}]*?)\s*\]")
    text = figures.sub(lambda found: f"[{' '.join(found[1].split())}]", text)
    file.write_text(f"{text}\n")


def _ratio(over: Mapping[str, Any], under: Mapping[str, Any], figure: str) -> float | None:
    if over[figure] is None or under[figure] is None:
        return None
    return float(round(over[figure] / under[figure], 3))


def _range(figures: Sequence[float]) -> list[float]:
    return [round(min(figures), 2), round(max(figures), 2)]
