"""A flow's Celery app whose processes note, every few milliseconds of CPU, where they are.

``celery -A benchmarks.sampled worker`` with SAMPLED_FLOW (plain or chained) and SAMPLES, a folder
that gets one file a process. Sampling by CPU time leaves the shares as they are; a tracing
profiler makes small Python functions look dear and C look cheap.
"""

import json
import os
import signal
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from celery import signals

if os.environ["SAMPLED_FLOW"] == "plain":
    from benchmarks.plain import celery
else:
    from app import celery

__all__ = ["celery"]

# The kernel rounds this up to its own tick.
_EVERY_SECONDS = 0.001

_seen: Counter[tuple[str, ...]] = Counter()


def _note(_: int, frame: FrameType | None) -> None:
    stack = []
    while frame is not None:
        stack.append(f"{frame.f_code.co_filename}:{frame.f_code.co_qualname}")
        frame = frame.f_back
    _seen[tuple(stack)] += 1


def _start(**_: Any) -> None:
    _seen.clear()
    signal.signal(signal.SIGPROF, _note)
    signal.setitimer(signal.ITIMER_PROF, _EVERY_SECONDS, _EVERY_SECONDS)


def _write(role: str) -> None:
    signal.setitimer(signal.ITIMER_PROF, 0)
    stacks = [{"stack": stack, "times": times} for stack, times in _seen.items()]
    file = Path(os.environ["SAMPLES"]) / f"{role}-{os.getpid()}.json"
    file.write_text(json.dumps(stacks))


def _write_child(**_: Any) -> None:
    _write("child")


def _write_main(**_: Any) -> None:
    _write("main")


signals.worker_ready.connect(_start)
signals.worker_shutdown.connect(_write_main)
signals.worker_process_init.connect(_start)
signals.worker_process_shutdown.connect(_write_child)
