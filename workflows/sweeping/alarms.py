"""Which things a person was called for already, so that each is told once."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models import SweepAlarm
from workflows.sweeping.judgement import Kind, Thing


def now(session: Session) -> datetime:
    """The database's time: what is noted later is as new or newer."""
    return session.scalars(select(func.now())).one()


def note(session: Session, things: Sequence[Thing]) -> list[Thing]:
    """Write down that they were seen; gives those that no sweep had seen before."""
    # In one order for all: two sweeps that note the same ones never wait for each other in a ring.
    ordered = sorted({(thing.kind, thing.name): thing for thing in things}.items())
    if not ordered:
        return []
    statement = insert(SweepAlarm).values(
        [
            {"kind": kind.value, "name": name, "alarmed_at": func.now(), "seen_at": func.now()}
            for (kind, name), _ in ordered
        ]
    )
    written = session.execute(
        statement.on_conflict_do_update(
            index_elements=["kind", "name"], set_={"seen_at": statement.excluded.seen_at}
        ).returning(SweepAlarm.kind, SweepAlarm.name, SweepAlarm.alarmed_at == SweepAlarm.seen_at)
    )
    new = {(kind, name) for kind, name, is_new in written if is_new}
    return [thing for place, thing in ordered if place in new]


def forget(session: Session, kind: Kind, *, unseen_since: datetime) -> None:
    """Forget those of a kind that were not seen since then: if they come back, they are news."""
    session.execute(
        delete(SweepAlarm).where(SweepAlarm.kind == kind, SweepAlarm.seen_at < unseen_since)
    )
