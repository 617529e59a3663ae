"""A producer's process: starts a full refund of each payment that it is told.

``python -m benchmarks.producer plain|chained`` reads lines of payments' ids, and answers each line
with one of JSON that tells what it took.
"""

import json
import sys
import time
from collections.abc import Callable

from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

REASON = "a benchmark"
AMOUNT = "100.00"


def starter(flow: str) -> tuple[Database, Callable[[str], None]]:
    """The flow's database, and what starts one refund; imports only what the flow needs."""
    if flow == "plain":
        from benchmarks import plain  # noqa: PLC0415

        return plain.database, lambda payment: plain.start(payment, REASON)

    from app import engine  # noqa: PLC0415
    from workflows import RefundInput, request_refund  # noqa: PLC0415

    def start(payment: str) -> None:
        asked = RefundInput.model_validate(
            {"paymentId": payment, "amount": AMOUNT, "reason": REASON}
        )
        with Session(engine.database) as session:
            request_refund(engine, session, asked)
            session.commit()

    return engine.database, start


def main() -> None:
    database, start = starter(sys.argv[1])
    for line in sys.stdin:
        began, cpu = time.perf_counter(), time.process_time()
        for payment in line.split():
            start(payment)
        took = {"seconds": time.perf_counter() - began, "cpuSeconds": time.process_time() - cpu}
        # PostgreSQL adds up what a connection did when it ends.
        database.dispose()
        print(json.dumps(took), flush=True)


if __name__ == "__main__":
    main()
