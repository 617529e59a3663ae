"""A producer's process: starts a full refund of each payment that it is told.

``python -m benchmarks.producer plain|chained`` reads lines of payments' ids, and answers each line
with one of JSON that tells what it took.
"""

import json
import sys
import time
from collections.abc import Callable

from sqlalchemy.orm import Session

REASON = "a benchmark"
AMOUNT = "100.00"


def starter(flow: str) -> Callable[[str], None]:
    """What starts one refund in this flow; imports only what the flow needs."""
    if flow == "plain":
        from benchmarks import plain  # noqa: PLC0415

        return lambda payment: plain.start(payment, REASON)

    from app import engine  # noqa: PLC0415
    from workflows import RefundInput, request_refund  # noqa: PLC0415

    def start(payment: str) -> None:
        asked = RefundInput.model_validate(
            {"paymentId": payment, "amount": AMOUNT, "reason": REASON}
        )
        with Session(engine.database) as session:
            request_refund(engine, session, asked)
            session.commit()

    return start


def main() -> None:
    start = starter(sys.argv[1])
    for line in sys.stdin:
        began, cpu = time.perf_counter(), time.process_time()
        for payment in line.split():
            start(payment)
        took = {"seconds": time.perf_counter() - began, "cpuSeconds": time.process_time() - cpu}
        print(json.dumps(took), flush=True)


if __name__ == "__main__":
    main()
