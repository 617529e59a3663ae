"""What is published only once the caller's own transaction has committed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

# Who opens a session may say who sends, after its commit: ``Session(…, info={LATER: sender})``. The
# sender is called with what to do, and may do it later; what it loses, recovery sends.
LATER = "saga.later"

_WAITING = "saga.outbox"


@dataclass(frozen=True)
class _Letter:
    """An action, and the transactions (the innermost first) that must not be rolled back."""

    action: Callable[[], None]
    inside: tuple[SessionTransaction, ...]


def after_commit(session: Session, action: Callable[[], None]) -> None:
    """Run ``action`` right after the session's outermost commit, or hand it to its ``LATER``.

    Never if the transaction, or a savepoint around this call, rolls back.
    """
    waiting: list[_Letter] | None = session.info.get(_WAITING)
    if waiting is None:
        waiting = session.info[_WAITING] = []
        event.listen(session, "after_commit", _send)
        event.listen(session, "after_soft_rollback", _forget)
        event.listen(session, "after_transaction_end", _end)
    waiting.append(_Letter(action, tuple(_around(session))))


def _around(session: Session) -> Iterator[SessionTransaction]:
    transaction = session.get_nested_transaction() or session.get_transaction()
    while transaction is not None:
        yield transaction
        transaction = transaction.parent


def _send(session: Session) -> None:
    if session.in_nested_transaction():
        return
    waiting: list[_Letter] = session.info[_WAITING]
    letters, waiting[:] = list(waiting), []
    send = session.info.get(LATER, _at_once)
    for letter in letters:
        send(letter.action)


def _at_once(action: Callable[[], None]) -> None:
    action()


def _forget(session: Session, rolled_back: SessionTransaction) -> None:
    waiting: list[_Letter] = session.info[_WAITING]
    waiting[:] = [letter for letter in waiting if rolled_back not in letter.inside]


def _end(session: Session, transaction: SessionTransaction) -> None:
    """A session may also be closed without a word."""
    if transaction.parent is None:
        _forget(session, transaction)
