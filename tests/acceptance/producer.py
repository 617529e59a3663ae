"""Starts a refund for each payment named on its command line, and prints the sagas' ids."""

import sys

from sqlalchemy.orm import Session

from app import engine
from workflows import RefundInput, request_refund

amount, *payments = sys.argv[1:]
with Session(engine.database) as session:
    for payment in payments:
        asked = RefundInput(payment_id=payment, amount=amount, reason="test")
        started = request_refund(engine, session, asked)
        session.commit()
        print(started.saga_id)
