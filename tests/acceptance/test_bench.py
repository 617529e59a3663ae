"""The benchmark runs, writes what it promises, and what the servers count is within the budget."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOWS = {"plain", "chained", "fused", "dbos", "restate"}
MEASURED = {"plain", "chained"}
FIGURES = {"perSecond", "cpuSecondsPer1000"}
REFUNDS = 20


@pytest.mark.acceptance
def test_a_short_benchmark_has_the_whole_layout_and_the_counts_are_within_budget(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "latest.json").read_text())
    check_layout(found)
    check_counts(found)
    check_tables(found, (tmp_path / "latest.md").read_text())
    assert (tmp_path / "latest.svg").read_text().rstrip().endswith("</svg>")


def check_layout(found: dict[str, Any]) -> None:
    refund = found["refund"]
    assert set(refund) == FLOWS
    for flow in FLOWS:
        assert set(refund[flow]) == FIGURES
        for figure in FIGURES:
            measured = refund[flow][figure]
            assert (measured > 0) if flow in MEASURED else (measured is None)
    chained, plain = refund["chained"]["perSecond"], refund["plain"]["perSecond"]
    assert found["ratios"] == {
        "chainedToPlain": pytest.approx(chained / plain, abs=0.001),
        "fusedToPlain": None,
        "fusedToRestate": None,
        "fusedToDbos": None,
    }
    assert 0 < found["start"]["p50Ms"] <= found["start"]["p99Ms"]
    check_http(found["http"])
    assert found["takeOverSeconds"] > 0
    assert found["scanMs"] > 0
    check_lists(found["lists"])
    check_uploads(found["uploads"])
    for flow in MEASURED:
        [repetition] = found["repetitions"][flow]
        assert repetition["refunds"] == REFUNDS
        assert repetition["perSecond"] == pytest.approx(refund[flow]["perSecond"])
        assert 0 <= repetition["foreignShare"] <= 1
        used = repetition["cpuSecondsPer1000"]
        assert used["worker"] == pytest.approx(refund[flow]["cpuSecondsPer1000"], abs=0.01)
        assert {"worker", "postgres", "redis", "sandbox", "producer"} <= set(used)
    assert found["quick"] is True
    assert found["machine"]["cores"] >= 1


def check_http(found: dict[str, Any]) -> None:
    assert (found["offeredPerSecond"], found["budgetMs"]) == (100, 10)
    refunds = found["requests"]
    for name in ("bare", "workersStopped", "workersRunning"):
        one = found[name]
        assert one["answers"] == refunds
        assert 0 < one["inside"]["p50Ms"] <= one["inside"]["p99Ms"] <= one["inside"]["maxMs"]
        assert one["inside"]["p50Ms"] < one["outside"]["p50Ms"]
        assert one["cpuMsPerAnswer"] > 0
    for name in ("workersStopped", "workersRunning"):
        assert found[name]["accepted"] == found[name]["found"] > refunds
        assert found[name]["toBare"]["p50Ms"] > 1


def check_lists(found: dict[str, Any]) -> None:
    questions = {one["question"] for one in found["questions"]}
    assert {"all", "all; deep", "status FAILED", "error, few", "text, none", "counts"} <= questions
    for one in found["questions"]:
        assert 0 < one["medianMs"] <= one["p99Ms"] <= one["maxMs"]
    assert found["worstP99Ms"] == max(one["p99Ms"] for one in found["questions"])


def check_uploads(found: dict[str, Any]) -> None:
    assert (found["fileMb"], found["times"], found["budgetMb"]) == (16, 1, 150)
    [one] = found["stores"]
    assert one["store"] == "bucket"
    for name in ("receive", "store", "whole", "plain"):
        assert one[f"{name}MbPerSecond"] > 0
    assert 0 < one["apiReadyMb"] <= one["apiPeakMb"] <= found["worstPeakMb"] <= found["budgetMb"]
    assert 0 < one["workerReadyMb"] <= one["workerPeakMb"] <= found["worstPeakMb"]


def check_counts(found: dict[str, Any]) -> None:
    # Claim and settle are two commits, every other step is one, and so is the start.
    assert 4 <= found["commitsPerRefund"] <= 6
    assert 1 <= found["messagesPerRefund"] <= 4
    plain, chained = found["counts"]["plain"], found["counts"]["chained"]
    # Three transactions, four messages; payment twice, the order and the refund once.
    assert (plain["commits"], plain["messages"], plain["rowsWritten"]) == (3, 4, 4)
    assert found["rowsWrittenPerRefund"] == chained["rowsWritten"] > plain["rowsWritten"]


def check_tables(found: dict[str, Any], page: str) -> None:
    assert f"| chained | {found['refund']['chained']['perSecond']:,.1f} |" in page
    assert "a short run, not for comparing" in page
    assert "| status FAILED | " in page
    assert "| bucket | " in page
    assert "| workers stopped | " in page


@pytest.mark.acceptance
def test_a_short_benchmark_never_passes_for_a_measurement() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--out", "benchmarks/results"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "does not belong into the results" in done.stderr
