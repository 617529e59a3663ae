"""Where the CPU of a refund goes: samples of the workers' processes, under the usual load."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.servers import PROJECT, Servers, Site, until
from benchmarks.throughput import CHAINED, CONCURRENCY, LANES, PLAIN

# What a sample counts for is the first line that a frame of it fits, in this order.
_CHILD = (
    ("events for Flower", ("celery/events/",)),
    ("publishing the next task", ("celery/canvas.py", "celery/app/amqp.py", "kombu/messaging.py")),
    ("the provider's call", ("wechatpayv3/", "requests/", "urllib3/", "gateways/payments/")),
    ("the heartbeat's thread", ("saga/heartbeat.py",)),
    ("the step's own SQL", ("tasks/payment_refund.py", "StepSession.flush_whole")),
    ("the engine's SQL: lock", ("saga/queries.py",)),
    ("the engine's SQL: write", ("saga/store/",)),
    ("commit, roll back, return the connection", (".do_commit", ".do_rollback", "step_session.py")),
    ("session, connection, pool of SQLAlchemy", ("sqlalchemy/",)),
    ("the state's model", ("pydantic/",)),
    ("logging", ("/logging/__init__.py", "structlog/")),
    ("the engine itself", ("/saga/",)),
    ("to and from the main process", ("billiard/pool.py:Worker._make_recv", "billiard/connection")),
    ("Celery around a task", ("celery/app/", "kombu/")),
)
_MAIN = (
    ("events for Flower", ("celery/events/",)),
    ("logging", ("/logging/__init__.py", "structlog/")),
    ("to and from the children", ("billiard/", "celery/concurrency/")),
    ("acknowledging", ("kombu/message.py:Message.ack", "Channel.basic_ack")),
    ("receiving a task", ("celery/worker/",)),
    ("receiving a message", ("kombu/",)),
)

_ALL = ""
_MOST = 45
_LEAST_SHARE = 0.01
_MOST_SHARE = 0.9

Samples = Counter[tuple[str, ...]]
Rules = Sequence[tuple[str, Sequence[str]]]


def profile(console: Console, *, refunds: int) -> None:
    """Print, for both flows, milliseconds of CPU per refund by what they were spent on."""
    with Servers() as servers:
        for flow in (PLAIN, CHAINED):
            _profile(console, servers.site(f"profile_{flow}"), flow, refunds)


def _profile(console: Console, site: Site, flow: str, refunds: int) -> None:
    folder = site.servers.folder / f"samples-{flow}"
    folder.mkdir()
    site.environment |= {"SAMPLED_FLOW": flow, "SAMPLES": str(folder)}
    queues = "plain" if flow == PLAIN else LANES
    worker = site.start_worker(
        "worker", app="benchmarks.sampled", queues=queues, concurrency=CONCURRENCY
    )
    site.await_worker("worker")
    payments = site.payments(refunds)
    worker.freeze()
    producer = site.producer(flow)
    producer.ask(" ".join(each.id for each in payments))
    before = _cpu_seconds(worker.pid)
    worker.thaw()
    sql = "SELECT 1 FROM orders WHERE status <> 'refunded' LIMIT 1"
    until(lambda: not site.rows(sql), "all are refunded", pause=0.5)
    after = _cpu_seconds(worker.pid)
    producer.stop()
    worker.stop()
    for role, rules in (("child", _CHILD), ("main", _MAIN)):
        ms = (after[role] - before[role]) / refunds * 1000
        found = _samples(folder, role)
        functions = _by_function(found)
        functions[_ALL] = found.total()
        _print(console, f"{flow}, {role}: by purpose", _by_purpose(found, rules), ms)
        _print(console, f"{flow}, {role}: by library", _by_library(found), ms)
        _print(console, f"{flow}, {role}: with all that it calls", functions, ms)


def _cpu_seconds(pid: int) -> dict[str, float]:
    head = psutil.Process(pid)
    children = [child.cpu_times() for child in head.children(recursive=True)]
    own = head.cpu_times()
    return {
        "main": own.user + own.system,
        "child": sum(times.user + times.system for times in children),
    }


def _samples(folder: Path, role: str) -> Samples:
    seen: Samples = Counter()
    for file in folder.glob(f"{role}-*.json"):
        for found in json.loads(file.read_text()):
            seen[tuple(found["stack"])] += found["times"]
    return seen


def _by_purpose(samples: Samples, rules: Rules) -> Counter[str]:
    found: Counter[str] = Counter()
    for stack, times in samples.items():
        fits = (
            purpose
            for purpose, marks in rules
            if any(mark in frame for frame in stack for mark in marks)
        )
        found[next(fits, "all else")] += times
    return found


def _by_library(samples: Samples) -> Counter[str]:
    found: Counter[str] = Counter()
    for stack, times in samples.items():
        # The driver calls this at the end of its C, and so gets the samples that were due in it.
        called_by_c = len(stack) > 1 and "/encodings/utf_8.py" in stack[0]
        found[_library(stack[1] if called_by_c else stack[0])] += times
    return found


def _by_function(samples: Samples) -> Counter[str]:
    """Samples in which the function stands anywhere: its own time and that of all it calls."""
    found: Counter[str] = Counter()
    for stack, times in samples.items():
        for frame in {_short(frame) for frame in stack}:
            found[frame] += times
    most = samples.total() * _MOST_SHARE
    # What nearly all samples are in is how a worker runs tasks at all.
    return Counter({frame: times for frame, times in found.items() if times < most})


def _library(frame: str) -> str:
    """The package of the innermost frame; C counts for whoever called it."""
    place, _, function = _short(frame).rpartition(":")
    if place.startswith("python/"):
        return place.removesuffix(".py")
    name = place.split("/")[0].removesuffix(".py")
    in_driver = name == "sqlalchemy" and function.endswith((".do_execute", ".do_commit"))
    return "psycopg2" if in_driver else name


def _short(frame: str) -> str:
    path, _, inside = frame.partition("/site-packages/")
    if inside:
        return inside
    if path.startswith(f"{PROJECT}/"):
        return path.removeprefix(f"{PROJECT}/")
    where, _, function = frame.rpartition(":")
    # What is generated while running has a name that tells all it does.
    name = "generated" if where.startswith("<") else "/".join(Path(where).parts[-2:])
    return f"python/{name}:{function}"


def _print(console: Console, title: str, samples: Counter[str], ms: float) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("", overflow="fold")
    table.add_column("ms per refund", justify="right")
    table.add_column("share", justify="right")
    total = samples.pop(_ALL, None) or samples.total()
    for name, times in samples.most_common(_MOST):
        share = times / total
        if share < _LEAST_SHARE:
            break
        table.add_row(name, f"{ms * share:.2f}", f"{share:.1%}")
    table.add_row("all", f"{ms:.2f}", f"{total:,} samples", style="bold")
    console.print(table)
