"""The model of the store that every interleaving is explored with is the store."""

import json
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from sqlalchemy import Connection
from sqlalchemy import Engine as Database

from saga import queries, store
from saga.circumstances import Circumstances
from saga.decide import can_stop, settle_after
from saga.followup import Followup, Next, Publish, RetryIn
from saga.position import RESTING
from saga.row import Row as Stored
from saga.settlement import apply
from saga.timing import Timing
from tests.unit.exploration.canonical import canonical
from tests.unit.exploration.definitions import read
from tests.unit.exploration.explorer import Bounds, Explorer
from tests.unit.exploration.model import (
    COMPENSATING,
    NOT_STARTED,
    RUNNING,
    SECOND_LOOK,
    WORD,
    Ended,
    Row,
    Small,
)
from tests.unit.exploration.operators import DECISIONS
from tests.unit.exploration.settlement import ERRORS, HELD, IN_TIME, Question, Settled

pytestmark = pytest.mark.integration

HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)

SELECTED = [
    ("ask<call sql<sql | |", Bounds()),
    ("sql<nothing call<manual | call |", Bounds()),
    ("sql<sql | ask |", Bounds(finds=True)),
    ("| call |", Bounds(signals=1)),
    ("| sql |", Bounds(signals=1, acts=1)),
    ("| call<call |", Bounds(acts=2)),
    ("call<call | |", Bounds(acts=1)),
    ("ask<call | |", Bounds(needs=True, acts=1, kinds=frozenset({"retry"}))),
    ("| | sql? call?", Bounds()),
]
ALL = [
    *SELECTED,
    ("call<call | ask | sql", Bounds()),
    ("ask<call | |", Bounds(signals=1)),
    ("| sql | call", Bounds(signals=1)),
    ("| ask |", Bounds(signals=1, finds=True)),
    ("| ask |", Bounds(acts=1)),
    ("sql<sql | ask | call", Bounds(needs=True)),
    ("| call<call | sql", Bounds(needs=True, acts=2, kinds=DECISIONS)),
    ("call<call | call<call | sql<sql", Bounds(acts=1)),
    ("sql<sql | call |", Bounds(signals=1, acts=1)),
    ("| | call? sql?", Bounds(needs=True)),
    ("| | call<call? sql", Bounds(acts=1)),
]


class Left(NamedTuple):
    """What a move left: the row, whether a message follows, and how far the epoch rose.

    ``wakes``: recovery looks at it in time, if it must.
    """

    row: Row
    publishes: bool
    rose: int
    wakes: bool


def test_the_model_does_to_a_row_what_the_store_does(
    in_full: bool,  # noqa: FBT001
    database: Database,
) -> None:
    for line, bounds in ALL if in_full else SELECTED:
        explorer = Explorer(read(line), bounds)
        assert explorer.explore().violation is None
        # Each takes milliseconds: a common run asks every other one.
        asked = islice(explorer.settled.items(), 0, None, 1 if in_full else 2)
        with database.connect() as connection:
            for question, expected in asked:
                left = carry_out(connection, explorer.small, question, expected)
                told = Left(expected.row, expected.publishes, int(expected.rose), wakes=True)
                assert left == told, (line, question, expected.move)
            connection.rollback()


def carry_out(connection: Connection, small: Small, question: Question, settled: Settled) -> Left:
    """Put the row into the database, apply the move to it, and read what it became."""
    row, event, about, in_chain = question
    stored = insert(connection, small, row)
    for number in range(row.words):
        came(connection, stored, f"word {number}")
    connection.exec_driver_sql("DELETE FROM saga_pause")
    if event == HELD or about == IN_TIME:
        stored = hold(connection, stored, in_time=about == IN_TIME)
    by = Circumstances(
        timing=Timing(),
        in_chain=in_chain,
        error=RuntimeError("it failed") if event in ERRORS else None,
        signal=came(connection, stored, "now") if event == "signalled" else None,
    )
    followup = apply(connection, small.saga, stored, settled.move, by)
    found = queries.lock(connection, stored.saga_id)
    assert found is not None
    words = connection.exec_driver_sql(
        "SELECT count(*) FROM saga_signal WHERE saga_id = %(id)s AND consumed_at IS NULL",
        {"id": str(stored.saga_id)},
    ).scalar_one()
    after = canonical(small, abstract(small, found)._replace(words=words))
    return Left(
        after, publishes(followup, after), found.epoch - stored.epoch, wakes=wakes(small, found)
    )


def came(connection: Connection, stored: Stored, signal_id: str) -> queries.StoredSignal | None:
    """The signal, written down."""
    store.keep_signal(
        connection, stored.saga_id, name=WORD, signal_id=signal_id, payload={}, actor=None
    )
    return queries.signal_of(connection, stored.saga_id, signal_id=signal_id)


def hold(connection: Connection, stored: Stored, *, in_time: bool) -> Stored:
    """Pause the type, before the saga's time ended if ``in_time``; the row as it was before."""
    at = stored.now - (MINUTE if in_time else timedelta(0))
    params = {"at": at, "id": str(stored.saga_id), "type": stored.saga_type}
    connection.exec_driver_sql(
        "INSERT INTO saga_pause (saga_type, at, actor, reason) "
        "VALUES (%(type)s, %(at)s, 'test', 'test')",
        params,
    )
    connection.exec_driver_sql(
        "UPDATE saga_state SET updated_at = %(at)s WHERE saga_id = %(id)s", params
    )
    found = queries.lock(connection, stored.saga_id)
    assert found is not None
    return found


def wakes(small: Small, row: Stored) -> bool:
    """Whether recovery comes back no later than when a wait ends, or the time that stops it."""
    if row.claimed or row.paused is not None or row.status not in {RUNNING, COMPENSATING}:
        return True
    if row.wake_at is None:
        return False
    latest = [row.now + MINUTE]
    if row.not_before is not None:
        latest = [row.not_before + MINUTE]
    ends = can_stop(small.saga, row) or (row.waiting_for is not None and row.signal is not None)
    if row.status == RUNNING and row.waiting_for != "probe" and ends and not row.is_over_time:
        latest.append(row.timeout_at)
    return row.wake_at <= min(latest) + SECOND


def publishes(followup: Followup, row: Row) -> bool:
    """Whether a message follows: a chain that goes on has one as long as there is work."""
    goes_on = isinstance(followup, Next) and row.status in {RUNNING, COMPENSATING}
    return goes_on or isinstance(followup, Publish | RetryIn)


def insert(connection: Connection, small: Small, row: Row) -> Stored:
    now = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
    works = row.status in {RUNNING, COMPENSATING}
    values: dict[str, Any] = {
        "saga_id": str(uuid4()),
        "saga_type": small.saga.name,
        "definition_version": 1,
        "current_step": small.names[row.step],
        "step_index": row.step,
        "state": "{}",
        "effects": json.dumps(
            {
                name: effect
                for name, effect in zip(small.names, row.effects, strict=True)
                if effect != NOT_STARTED
            }
        ),
        "status": row.status,
        "max_retries": 1,
        "attempt": row.attempt,
        "epoch": 7,
        "dispatches": row.dispatches,
        "claimed_by": str(uuid4()) if row.claimed else None,
        "claim_deadline": now + 10 * SECOND if row.claimed else None,
        "call_ended_at": ended_at(small, row, now),
        "wake_at": now if works or row.waiting_for or row.claimed else None,
        "not_before": now + HOUR if row.early else None,
        "waiting_for": row.waiting_for,
        "stop_reason": row.stop_reason,
        "look_at": None if row.look_at is None else small.names[row.look_at],
        "looks": row.looks,
        "overdue": row.overdue,
        "holds_key": works or row.status == "FAILED",
        "timeout_at": now - SECOND if row.over_time else now + HOUR,
        "completed_at": now if row.status in RESTING else None,
        "failed_from": row.failed_from,
        "signal": WORD if row.signal else None,
        "paused": row.paused,
        "paused_at": now if row.paused else None,
        **dict.fromkeys(("started_at", "created_at", "updated_at"), now),
    }
    names = ", ".join(values)
    places = ", ".join(f"%({name})s" for name in values)
    sql = f"INSERT INTO saga_state ({names}) VALUES ({places}) RETURNING saga_id"
    saga_id = connection.exec_driver_sql(sql, values).scalar_one()
    stored = queries.lock(connection, saga_id)
    assert stored is not None
    return stored


def ended_at(small: Small, row: Row, now: datetime) -> datetime | None:
    step = small.steps[row.step]
    ago = {
        Ended.JUST_NOW: timedelta(0),
        Ended.SETTLED: settle_after(step) + SECOND,
        Ended.LONG_AGO: step.probe_for + SECOND,
    }
    return None if row.ended == Ended.NEVER else now - ago[Ended(row.ended)]


def abstract(small: Small, stored: Stored) -> Row:
    """The stored row in the words of the model."""
    now = stored.now
    wakes = None if stored.wake_at is None else stored.wake_at - now
    looks_later = stored.waiting_for == SECOND_LOOK and wakes is not None and wakes > MINUTE
    return Row(
        status=stored.status.value,
        step=small.names.index(stored.step),
        attempt=stored.attempt,
        effects=tuple(stored.effect(name).value for name in small.names),
        claimed=stored.claimed,
        waiting_for=stored.waiting_for.value if stored.waiting_for else None,
        stop_reason=stored.stop_reason.value if stored.stop_reason else None,
        ended=ended(small, stored),
        over_time=stored.is_over_time,
        overdue=stored.overdue,
        look_at=None if stored.look_at is None else small.names.index(stored.look_at),
        looks=stored.looks,
        dispatches=stored.dispatches,
        early=stored.not_before is not None and stored.not_before > now,
        asleep=looks_later,
        failed_from=stored.failed_from.value if stored.failed_from else None,
        signal=stored.signal is not None,
        paused=stored.paused.value if stored.paused else None,
    )


def ended(small: Small, stored: Stored) -> Ended:
    if stored.call_ended_at is None:
        return Ended.NEVER
    step = small.steps[small.names.index(stored.step)]
    ago = stored.now - stored.call_ended_at
    if ago >= step.probe_for:
        return Ended.LONG_AGO
    return Ended.SETTLED if ago >= settle_after(step) else Ended.JUST_NOW
