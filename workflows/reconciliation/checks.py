"""What reconciling reads and writes, each in the caller's short transaction."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import case, func, select, text
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.orm import Session

from gateways.payments import NumberReused
from models import Difference, Payment, Refund, RefundCheck
from saga import IdempotencyKey, Status
from saga.position import RESTING
from tasks.payment_refund import call_provider_refund
from workflows.payment_refund import refund
from workflows.reconciliation.comparison import MEANING, OF_THE_PAYMENT, Finding, Ours
from workflows.reconciliation.differences import ours_text, theirs_text

log = structlog.get_logger("saga")

_STEP = call_provider_refund.name
AT_WORK = frozenset({Status.RUNNING, Status.COMPENSATING})

# By the indexes of ages, of open sagas, and of what is open on file, whatever has come to rest.
_DUE = text("""
WITH candidate AS (
    SELECT saga_id, created_at FROM saga_state
    WHERE saga_type = :saga_type AND created_at >= now() - :window
      AND status NOT IN ('RUNNING', 'COMPENSATING')
    UNION
    SELECT saga_id, created_at FROM saga_state
    WHERE saga_type = :saga_type AND status = 'FAILED' AND completed_at IS NULL
    UNION
    SELECT s.saga_id, s.created_at FROM refund_checks AS c JOIN saga_state AS s USING (saga_id)
    WHERE (c.difference IS NOT NULL OR NOT c.is_over)
      AND s.status NOT IN ('RUNNING', 'COMPENSATING')
)
SELECT candidate.saga_id FROM candidate
LEFT JOIN LATERAL (
    SELECT max(asked_at) AS at FROM refund_checks WHERE saga_id = candidate.saga_id
) AS asked ON true
ORDER BY asked.at NULLS FIRST, candidate.created_at LIMIT :most""")

_AT_WORK = text("""
SELECT count(*) FROM saga_state
WHERE saga_type = :saga_type AND status IN ('RUNNING', 'COMPENSATING') AND completed_at IS NULL""")

_LONG_AT_WORK = text("""
SELECT s.saga_id, s.status, s.generations, p.id AS payment_id
FROM saga_state AS s JOIN payments AS p ON p.id = s.state->>'payment_id'
WHERE saga_type = :saga_type AND s.status IN ('RUNNING', 'COMPENSATING') AND completed_at IS NULL
  AND s.created_at < now() - :long""")

# By its own words, not by its model: a state of an older model is to be compared, too.
_SAGA = text("""
SELECT status, version, generations, state->>'payment_id' AS payment_id,
       state->>'payment_no' AS payment_no, state->>'method' AS method
FROM saga_state WHERE saga_id = :saga_id""")

# What the provider was heard of goes before what we booked.
_ELSEWHERE = text("""
SELECT
    (SELECT coalesce(sum(their_minor), 0) FROM refund_checks
     WHERE payment_id = :payment_id AND saga_id <> :saga_id AND their_status = 'SUCCESS')
  + (SELECT coalesce(sum(amount_minor), 0) FROM refunds AS r
     WHERE payment_id = :payment_id AND refund_no <> ALL (:keys)
       AND NOT EXISTS (SELECT FROM refund_checks AS c
                       WHERE c.refund_no = r.refund_no AND c.checked_at IS NOT NULL))""")


def due(session: Session, *, window: timedelta, most: int | None) -> list[UUID]:
    """Refund sagas to ask about: never asked first, then the longest ago.

    Those that were started within the window and are at rest, those that rested after they were
    at work or FAILED for long, all that are FAILED, and all with a difference on file.
    """
    named = {"saga_type": refund.name, "window": window, "most": most}
    return list(session.execute(_DUE, named).scalars())


def at_work(session: Session) -> int:
    """How many refund sagas are at work: the engine is still asking about them."""
    return int(session.execute(_AT_WORK, {"saga_type": refund.name}).scalar_one())


def follow(session: Session, *, window: timedelta) -> None:
    """Keep in mind what is at work for long: it may rest when its start is out of the window."""
    # Half a window leaves many passes between this note and the window's end.
    named = {"saga_type": refund.name, "long": window / 2}
    for found in session.execute(_LONG_AT_WORK, named).all():
        first = _note(
            _keys(found.saga_id, found.generations)[-1],
            saga_id=found.saga_id,
            status=Status(found.status),
            payment_id=found.payment_id,
        )
        session.execute(
            first.on_conflict_do_update(index_elements=["refund_no"], set_={"is_over": False})
        )


def look(session: Session, saga_id: UUID) -> Ours | None:
    """The saga with its payment and what is booked; None where one of them is gone."""
    # The saga first: whatever moves it after this makes its version another one.
    found = session.execute(_SAGA, {"saga_id": saga_id}).one_or_none()
    if found is None:
        return None
    keys = _keys(saga_id, found.generations)
    named = {"payment_id": found.payment_id, "saga_id": saga_id, "keys": [str(key) for key in keys]}
    # One statement: a refund that is being booked is seen on both sides, or on neither.
    rows = session.execute(
        select(Payment.amount_minor, Payment.refunded_minor, Refund.refund_no, Refund.amount_minor)
        .outerjoin(Refund, Refund.payment_id == Payment.id)
        .where(Payment.id == found.payment_id)
    ).all()
    if not rows:
        return None
    told = session.scalars(
        select(RefundCheck.difference).where(
            RefundCheck.payment_id == found.payment_id,
            RefundCheck.saga_id != saga_id,
            RefundCheck.difference.in_(OF_THE_PAYMENT),
        )
    )
    return Ours(
        saga_id=saga_id,
        status=Status(found.status),
        version=found.version,
        keys=keys,
        method=found.method,
        payment_id=found.payment_id,
        payment_no=found.payment_no,
        payment_minor=rows[0][0],
        payment_refunded_minor=rows[0][1],
        booked={number: amount for _, _, number, amount in rows if number is not None},
        elsewhere_minor=int(session.execute(_ELSEWHERE, named).scalar_one()),
        told=frozenset(Difference(difference) for difference in told if difference is not None),
    )


def _keys(saga_id: UUID, generations: dict[str, int]) -> list[IdempotencyKey]:
    newest = generations.get(_STEP, 1)
    return [
        IdempotencyKey.of(saga_id, _STEP, generation=generation)
        for generation in range(1, newest + 1)
    ]


def note_asked(session: Session, ours: Ours) -> None:
    """Write down that the provider was asked in vain: others go first next time."""
    first = _note(
        ours.keys[-1], saga_id=ours.saga_id, status=ours.status, payment_id=ours.payment_id
    )
    session.execute(
        first.on_conflict_do_update(
            index_elements=["refund_no"], set_={"asked_at": first.excluded.asked_at}
        )
    )


def _note(key: IdempotencyKey, *, saga_id: UUID, status: Status, payment_id: str) -> Insert:
    """A refund number that was not compared yet."""
    return insert(RefundCheck).values(
        refund_no=key,
        saga_id=saga_id,
        saga_status=status.value,
        is_over=False,
        payment_id=payment_id,
        asked_at=func.now(),
    )


def write(session: Session, ours: Ours, findings: Iterable[Finding], *, told: bool) -> bool:
    """Put the findings on file and call a person for each new difference.

    A difference that was there keeps its time; one that is gone is taken off. False, and nothing
    is written, where the saga has moved meanwhile, unless by what we ``told`` it ourselves.
    """
    found = session.execute(_SAGA, {"saga_id": ours.saga_id}).one_or_none()
    if found is None or (found.version != ours.version and not told):
        return False
    status = Status(found.status)
    for finding in findings:
        if _upsert(session, ours, finding, status) and finding.difference is not None:
            # Before the commit: if we die between, a person is called twice, not never.
            _alarm(ours, finding, status)
    return True


def _upsert(session: Session, ours: Ours, finding: Finding, status: Status) -> bool:
    """Write one finding; True where its difference is new."""
    their_status, their_minor = _answered(finding)
    difference = finding.difference
    values: dict[str, Any] = {
        "refund_no": finding.refund_no,
        "saga_id": ours.saga_id,
        "saga_status": status.value,
        "is_over": status in RESTING,
        "payment_id": ours.payment_id,
        "booked_minor": finding.booked_minor,
        "their_status": their_status,
        "their_minor": their_minor,
        "difference": None if difference is None else difference.value,
        "asked_at": func.now(),
        "checked_at": func.now(),
        "found_at": None if difference is None else func.now(),
    }
    statement = insert(RefundCheck).values(values)
    new = statement.excluded
    was_there = RefundCheck.difference == new.difference
    since = case((was_there, RefundCheck.found_at), else_=new.found_at)
    changed = {name: new[name] for name in values if name != "refund_no"} | {"found_at": since}
    is_new = session.execute(
        statement.on_conflict_do_update(index_elements=["refund_no"], set_=changed).returning(
            RefundCheck.found_at == RefundCheck.checked_at
        )
    ).scalar_one()
    return bool(is_new)


def _answered(finding: Finding) -> tuple[str | None, int | None]:
    match finding.theirs:
        case None:
            return None, None
        case NumberReused() as reused:
            return "ANOTHER_REFUND", reused.amount_minor
        case answer:
            return answer.status.value, answer.amount_minor


def _alarm(ours: Ours, finding: Finding, status: Status) -> None:
    assert finding.difference is not None, "an alarm is about a difference"
    log.error(
        "alarm",
        saga_id=str(ours.saga_id),
        saga_type=refund.name,
        refund_no=str(finding.refund_no),
        payment_id=ours.payment_id,
        why=MEANING[finding.difference],
        ours=ours_text(status.value, finding.booked_minor),
        theirs=theirs_text(*_answered(finding)),
    )
