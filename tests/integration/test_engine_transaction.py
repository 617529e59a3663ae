"""A transactional step: its SQL and the record of it are one commit."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from saga import Refused
from saga.crashpoints import armed
from saga.followup import Drop, Next, Raise, RetryIn
from saga.step_session import StepSession
from tests.integration.by_hand import Killed
from tests.integration.shop import Shop

pytestmark = pytest.mark.integration


def terminate(shop: Shop, session: Session) -> None:
    """End the step's connection from outside, as a restart of the server would."""
    pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
    with shop.database.begin() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})


def test_a_step_that_fails_leaves_nothing(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("reserve", ValueError("broken"))

    assert isinstance(shop.deliver(), RetryIn)

    assert shop.did() == set()
    row = shop.row(saga_id)
    assert (row["attempt"], row["error_message"]) == (1, "ValueError: broken")


@pytest.mark.parametrize("moment", ["before its SQL is flushed", "after"])
def test_a_connection_that_breaks_in_a_step_leaves_nothing_and_costs_no_attempt(
    shop: Shop, moment: str
) -> None:
    saga_id = shop.start()

    def broken(session: Session) -> None:
        terminate(shop, session)
        if moment == "after":
            session.execute(text("SELECT 1"))

    shop.script.say("reserve", broken, broken, broken, broken, broken)
    for _ in range(5):
        followup = shop.deliver()
        assert isinstance(followup, RetryIn)
        row = shop.row(saga_id)
        assert (row["attempt"], row["status"], row["version"]) == (0, "RUNNING", 1)
        assert shop.did() == set()
        shop.broker.queue.append(shop.broker.held.pop()[1])

    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"
    assert shop.did() == {"reserve", "book"}


def test_a_lock_that_others_hold_for_long_costs_no_attempt_however_often_it_was_sent(
    shop: Shop,
) -> None:
    saga_id = shop.start()
    shop.let_pass(timedelta(seconds=11))
    shop.recover()  # published twice: from now on, attempts are counted before they begin

    def waits_in_vain(session: Session) -> None:
        session.execute(text("SET LOCAL lock_timeout = '1ms'"))
        session.execute(text("SELECT FROM saga_pulse"))

    shop.script.say("reserve", *[waits_in_vain] * 6)
    shop.broker.queue.pop()
    with shop.database.begin() as others:
        others.execute(text("LOCK TABLE saga_pulse"))
        for _ in range(6):
            assert isinstance(shop.deliver(), RetryIn)
            assert shop.row(saga_id)["attempt"] == 0
            shop.broker.queue.append(shop.broker.held.pop()[1])

    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"


def test_a_database_that_restarts_between_the_count_and_the_step_costs_no_attempt(
    shop: Shop,
) -> None:
    saga_id = shop.start()
    elsewhere = create_engine(shop.database.url, poolclass=NullPool)
    left = ["after commit"]

    def restart(point: str) -> None:
        if point in left:
            left.remove(point)
            with elsewhere.begin() as connection:
                connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                )

    shop.database.dispose()
    with armed(restart):
        assert isinstance(shop.deliver(redelivered=True), RetryIn)

    assert shop.kinds(saga_id) == ["started", "attempt_counted"]
    assert shop.row(saga_id)["attempt"] == 0


def test_a_connection_that_breaks_before_a_step_costs_no_attempt(shop: Shop) -> None:
    saga_id = shop.start()
    with shop.database.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    # Whatever connections the pool still holds are dead now.
    for _ in range(20):
        followup = shop.deliver()
        if isinstance(followup, Next):
            break
        assert isinstance(followup, RetryIn)
        shop.broker.queue.append(shop.broker.held.pop()[1])

    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"
    assert "attempt_failed" not in shop.kinds(saga_id)


def test_a_commit_whose_answer_is_lost_is_not_done_twice(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga_id = shop.start()
    real = Session.commit
    lost: list[str] = []

    def commit_and_vanish(self: Session) -> None:
        real(self)
        if not lost:
            lost.append("answer")
            raise OperationalError("COMMIT", {}, Exception("connection lost"))

    with monkeypatch.context() as patch:
        patch.setattr(Session, "commit", commit_and_vanish)
        assert isinstance(shop.deliver(), RetryIn)
    assert shop.did() == {"reserve"}
    assert isinstance(shop.deliver(shop.broker.held.pop()[1]), Drop)

    shop.let_pass(timedelta(seconds=10))
    shop.recover()
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"
    assert len(shop.script.called("reserve")) == 1


def test_a_worker_that_dies_in_a_step_leaves_nothing(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("reserve", Killed())

    shop.kill()

    assert shop.did() == set()
    assert shop.row(saga_id)["version"] == 1


def test_a_step_that_kills_its_worker_every_time_gives_up(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("reserve", *[Killed()] * 100)
    message = shop.broker.queue[0]
    shop.kill()

    deaths = 1
    while shop.status(saga_id) == "RUNNING":
        try:
            shop.deliver(message, redelivered=True)
        except Killed:
            deaths += 1
        assert deaths < 10

    assert shop.status(saga_id) == "COMPENSATED"
    assert deaths == 5  # the first was optimistic and uncounted, then four counted ones
    assert "its worker died in each of 4 attempts" in shop.row(saga_id)["error_message"]


def test_a_step_past_the_pivot_that_kills_its_worker_every_time_ends_failed(shop: Shop) -> None:
    saga_id = shop.start()
    shop.work_off(until="book")
    shop.script.say("book", *[Killed()] * 100)

    for _ in range(10):
        try:
            shop.deliver(shop.broker.queue[0], redelivered=True)
        except Killed:
            continue
        break

    assert shop.status(saga_id) == "FAILED"
    assert shop.did() == {"reserve"}


def test_deaths_are_counted_too_when_only_recovery_notices(shop: Shop) -> None:
    """The broker lost the message with the worker, so nothing is marked as redelivered."""
    saga_id = shop.start()
    shop.script.say("reserve", *[Killed()] * 100)

    for _ in range(10):
        if not shop.broker.queue:
            break
        try:
            shop.deliver()
        except Killed:
            shop.let_pass(timedelta(seconds=10))
            shop.recover()

    assert shop.status(saga_id) == "COMPENSATED"
    assert len(shop.script.called("reserve")) == 5


def recover_later(shop: Shop) -> None:
    """Recovery finds no claim on the row, and publishes it once more."""
    shop.let_pass(timedelta(seconds=11))
    assert shop.recover().published == 1


def test_a_failure_is_not_written_over_a_row_that_moved_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga_id = shop.start()
    shop.script.say("reserve", ValueError("broken"))
    give_back = StepSession.give_back

    def slow(self: StepSession) -> None:
        give_back(self)
        if len(shop.broker.published) == 1:
            recover_later(shop)

    monkeypatch.setattr(StepSession, "give_back", slow)

    assert shop.deliver() == Drop("moved meanwhile")
    assert (shop.row(saga_id)["attempt"], shop.kinds(saga_id)) == (0, ["started", "dispatched"])


def test_a_counted_attempt_does_not_begin_on_a_row_that_moved_on(shop: Shop) -> None:
    saga_id = shop.start()
    commits: list[str] = []

    def meanwhile(point: str) -> None:
        if point == "after commit":
            commits.append(point)
            if len(commits) == 1:
                recover_later(shop)

    with armed(meanwhile):
        assert shop.deliver(redelivered=True) == Drop("moved meanwhile")

    assert shop.script.calls == []
    assert shop.kinds(saga_id) == ["started", "attempt_counted", "dispatched"]


MISDEEDS: dict[str, Callable[[Session], Any]] = {
    "commits": lambda session: session.commit(),
    "rolls back": lambda session: session.rollback(),
    "closes": lambda session: session.close(),
    "resets": lambda session: session.reset(),
    "invalidates": lambda session: session.invalidate(),
    "commits its transaction": lambda session: session.get_transaction().commit(),  # type: ignore[union-attr]
    "rolls its transaction back": lambda session: session.get_transaction().rollback(),  # type: ignore[union-attr]
    "commits its connection": lambda session: session.connection().commit(),
    "rolls its connection back": lambda session: session.connection().rollback(),
    "commits in SQL": lambda session: session.execute(text("COMMIT")),
    "rolls back in SQL": lambda session: session.execute(text("ROLLBACK")),
}


@pytest.mark.parametrize("misdeed", MISDEEDS)
def test_a_step_that_ends_its_transaction_fails_and_leaves_nothing(
    shop: Shop, misdeed: str
) -> None:
    saga_id = shop.start()
    shop.script.say("reserve", *[MISDEEDS[misdeed]] * 4)

    shop.work_off()

    row = shop.row(saga_id)
    assert row["status"] == "COMPENSATED"
    assert row["effects"] == {"shop.reserve": "not_started"}
    assert shop.did() == set()


@pytest.mark.parametrize("then", ["returns", "goes on in SQL"])
@pytest.mark.parametrize("misdeed", MISDEEDS)
def test_a_step_that_hides_its_misdeed_is_done_with_its_sql_or_not_at_all(
    shop: Shop, misdeed: str, then: str
) -> None:
    saga_id = shop.start()

    def hide(session: Session) -> None:
        with suppress(Exception):
            MISDEEDS[misdeed](session)
        if then == "goes on in SQL":
            with suppress(Exception):
                session.execute(text("SELECT 1"))

    shop.script.say("reserve", *[hide] * 4)
    shop.work_off()

    is_done = shop.status(saga_id) == "COMPLETED"
    assert ("reserve" in shop.did()) == is_done
    assert shop.row(saga_id)["effects"]["shop.reserve"] == ("done" if is_done else "not_started")


def test_a_step_that_was_kept_from_committing_leaves_no_lock(shop: Shop) -> None:
    shop.start()
    shop.script.say("reserve", MISDEEDS["commits its connection"])
    shop.deliver()

    with shop.database.begin() as connection:
        connection.execute(text("SELECT FROM saga_state FOR UPDATE NOWAIT"))


def test_a_step_may_use_savepoints(shop: Shop) -> None:
    saga_id = shop.start()

    def careful(session: Session) -> None:
        with pytest.raises(Exception, match="duplicate key"), session.begin_nested():
            session.execute(text("INSERT INTO did SELECT * FROM did"))
        with session.begin_nested():
            session.execute(text("INSERT INTO did VALUES ('more', '')"))

    shop.script.say("reserve", careful)
    shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"
    assert shop.did() == {"reserve", "more", "book"}


@pytest.mark.parametrize("said", ["a\0b", "\ud800", "x" * 10_000])
def test_whatever_an_error_says_it_is_recorded(shop: Shop, said: str) -> None:
    saga_id = shop.start()
    shop.script.say("reserve", ValueError(said))

    assert isinstance(shop.deliver(), RetryIn)
    assert shop.row(saga_id)["attempt"] == 1
    assert len(shop.row(saga_id)["error_message"]) <= 500


def test_a_state_that_cannot_be_stored_is_a_failed_attempt(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("reserve", *[lambda _: shop_state("a\0b")] * 4)

    shop.work_off()

    assert shop.status(saga_id) == "COMPENSATED"
    assert shop.did() == set()


def shop_state(note: str) -> Any:
    from tests.integration.shop import Order  # noqa: PLC0415 - only here

    return Order(notes=[note])


def test_a_row_that_another_transaction_holds_is_not_waited_for(shop: Shop) -> None:
    saga_id = shop.start()
    with shop.database.begin() as connection:
        connection.execute(text("SELECT FROM saga_state FOR UPDATE"))
        assert isinstance(shop.deliver(), Drop)

    assert shop.row(saga_id)["version"] == 1
    assert isinstance(shop.broker.queue, object)


def test_a_step_that_was_given_up_lets_its_error_go(shop: Shop) -> None:
    shop.start()
    shop.script.say("reserve", Refused("sold out"))

    followup = shop.deliver()

    assert isinstance(followup, Raise)
    assert isinstance(followup.error, Refused)
