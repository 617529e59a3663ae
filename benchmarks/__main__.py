"""``python -m benchmarks``: measure everything, or say where the CPU of a refund goes.

``make bench`` runs it in full, ``make bench QUICK=1`` shortly, with PROFILE=1 the profile.
"""

import argparse
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from benchmarks import plot, profiling, report, results
from benchmarks.counts import count
from benchmarks.latency import start_latency
from benchmarks.lists import measure_lists
from benchmarks.machine import machine, versions
from benchmarks.over_http import measure_http
from benchmarks.scan import scan
from benchmarks.servers import PROJECT, BenchmarkError, Servers
from benchmarks.takeover import take_over
from benchmarks.throughput import CHAINED, PLAIN, Flow, take_turns
from benchmarks.uploads import STORES, measure_uploads

RESULTS = PROJECT / "benchmarks" / "results"


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured."""

    refunds: int = 300
    repetitions: int = 5
    counted: int = 50
    start_seconds: int = 15
    requests: int = 2_000
    take_overs: int = 5
    finished: int = 1_000_000
    open_sagas: int = 10_000
    asked: int = 100
    upload_megabytes: int = 200
    uploads: int = 3
    upload_stores: tuple[str, ...] = STORES


QUICK = Sizes(
    refunds=20,
    repetitions=1,
    counted=10,
    start_seconds=2,
    requests=40,
    take_overs=1,
    finished=20_000,
    open_sagas=1_000,
    asked=10,
    upload_megabytes=16,
    uploads=1,
    upload_stores=("bucket",),
)

PROFILED = 1_000

console = Console()


def measure(sizes: Sizes, *, quick: bool) -> results.Results:
    """Run all measures, one after the other. Raises BenchmarkError."""
    with Servers() as servers:
        say("PostgreSQL, Redis and the sandbox are up")
        flows = [Flow(servers, PLAIN), Flow(servers, CHAINED)]
        for flow in flows:
            flow.await_ready()
        found = take_turns(flows, refunds=sizes.refunds, repetitions=sizes.repetitions, say=say)
        taken = take_over(flows[1], trials=sizes.take_overs)
        say(f"take-over: {taken['trials']} s")
        counts = {flow.name: count(flow, refunds=sizes.counted) for flow in flows}
        say(f"counted: {counts[CHAINED]}")
        for flow in flows:
            flow.stop()
        start = start_latency(servers, seconds=sizes.start_seconds)
        say(f"start: {start['p50Ms']} ms, 99 % within {start['p99Ms']} ms")
        over_http = measure_http(servers, requests=sizes.requests)
        inside = over_http["workersStopped"]["inside"]
        say(f"start over HTTP: {inside['p50Ms']} ms, 99 % within {inside['p99Ms']} ms")
        scanned = scan(servers, finished=sizes.finished)
        say(f"scan: {scanned['scanMs']} ms")
        listed = measure_lists(
            servers, at_rest=sizes.finished, opened=sizes.open_sagas, times=sizes.asked
        )
        say(f"lists: 99 % of the slowest within {listed['worstP99Ms']} ms")
        uploaded = measure_uploads(
            servers,
            megabytes=sizes.upload_megabytes,
            times=sizes.uploads,
            stores=sizes.upload_stores,
        )
        say(f"uploads: {uploaded['worstPeakMb']} MB of memory at most")
        return results.assemble(
            repetitions=found,
            start=start,
            http=over_http,
            counts=counts,
            take_over=taken,
            scan=scanned,
            lists=listed,
            uploads=uploaded,
            surroundings={
                "quick": quick,
                "machine": machine(),
                "versions": versions(servers),
            },
        )


def say(what: str) -> None:
    console.print(f"· {what}", highlight=False, soft_wrap=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--quick", action="store_true", help="a short run of the same layout")
    parser.add_argument(
        "--out", type=Path, help="a folder to write to; a full run has benchmarks/results"
    )
    parser.add_argument("--refunds", type=int, help="refunds in one repetition")
    parser.add_argument("--repetitions", type=int, help="repetitions of each flow")
    parser.add_argument("--profile", action="store_true", help="tell where a refund's CPU goes")
    given = parser.parse_args()
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda number, _frame: sys.exit(128 + number))

    if given.profile:
        profiling.profile(console, refunds=given.refunds or PROFILED)
        return
    base = QUICK if given.quick else Sizes()
    wanted = {"refunds": given.refunds, "repetitions": given.repetitions}
    sizes = replace(base, **{name: size for name, size in wanted.items() if size})
    # A short run must never pass for a measurement.
    if given.quick and given.out is not None and given.out.resolve() == RESULTS:
        parser.error("a short run does not belong into the results")
    out = given.out or (None if given.quick else RESULTS)
    try:
        found = measure(sizes, quick=given.quick)
    except BenchmarkError as error:
        sys.exit(f"the benchmark failed: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped")
    report.print_tables(found, console)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        results.write(found, out / "latest.json")
        report.write_page(found, out / "latest.md")
        plot.draw(found, out / "latest.svg")
        say(f"written to {out}")


if __name__ == "__main__":
    main()
