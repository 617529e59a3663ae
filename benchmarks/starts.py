"""A producer's process that starts sagas at a steady rate and measures each start.

``python -m benchmarks.starts RATE WARM_UP < states`` reads one state a line and prints the
latencies as JSON, those of the first WARM_UP left out. A start is ``Engine.start``, the commit
and the publishing. One that waits because the one before it was late waits on the clock, as a
producer's customer would.
"""

import json
import sys
import time

from sqlalchemy.orm import Session

from app import engine
from models import RefundState
from workflows import refund


def start(state: RefundState) -> None:
    with Session(engine.database) as session:
        key = f"payment:{state.payment_id}"
        engine.start(session, refund, state, idempotency_key=key, business_key=key)
        session.commit()


def main() -> None:
    rate, warm_up = float(sys.argv[1]), int(sys.argv[2])
    states = [RefundState.model_validate_json(line) for line in sys.stdin]
    for state in states[:warm_up]:
        start(state)
    measured = states[warm_up:]
    latencies = []
    began = ended = time.perf_counter()
    cpu = time.process_time()
    for number, state in enumerate(measured):
        due = began + number / rate
        # A sleep that lasts too long is ours, not the engine's.
        time.sleep(max(0.0, due - time.perf_counter()))
        waited = max(0.0, ended - due)
        called = time.perf_counter()
        start(state)
        ended = time.perf_counter()
        latencies.append(waited + ended - called)
    took = {
        "latencies": latencies,
        "seconds": ended - began,
        "cpuSeconds": time.process_time() - cpu,
    }
    print(json.dumps(took))


if __name__ == "__main__":
    main()
