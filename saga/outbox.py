"""What is published only once the caller's own transaction has committed."""

from collections.abc import Callable

from sqlalchemy import event
from sqlalchemy.orm import Session

_WAITING = "saga.outbox"


def after_commit(session: Session, action: Callable[[], None]) -> None:
    """Run ``action`` right after the session's outermost commit; never if it rolls back."""
    waiting: list[Callable[[], None]] | None = session.info.get(_WAITING)
    if waiting is None:
        waiting = session.info[_WAITING] = []
        event.listen(session, "after_commit", _send)
        event.listen(session, "after_rollback", _forget)
    waiting.append(action)


def _send(session: Session) -> None:
    if session.in_nested_transaction():
        return
    waiting = session.info[_WAITING]
    actions, waiting[:] = list(waiting), []
    for action in actions:
        action()


def _forget(session: Session) -> None:
    if not session.in_nested_transaction():
        session.info[_WAITING].clear()
