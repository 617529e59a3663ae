"""One saga worked by hand, from an empty database to its end, on whatever business it is."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from saga.position import RESTING
from saga.recovery import Pass, Recovery
from tests.integration.by_hand import ByHand

EMPTY = "; ".join(
    f"DELETE FROM {table}"
    for table in ("saga_state", "saga_event", "saga_signal", "saga_pause", "saga_pulse")
)


class Desk(ByHand, ABC):
    """What every history needs, whatever saga it is about."""

    def open(self) -> None:
        """Begin with an empty database."""
        self.recovers_with = self.engine
        self.execute(EMPTY)

    @abstractmethod
    def start(self) -> None:
        """What a producer does: one commit, and publishing right behind it."""

    @abstractmethod
    def fault(self, fault: Any) -> None:
        """Let something go wrong at the provider."""

    @abstractmethod
    def during_calls(self, do: Callable[[str], None]) -> None:
        """Call ``do`` with the name of every call to another system, while it runs."""

    @abstractmethod
    def another_may_start(self) -> bool:
        """Whether nothing holds off a second saga of the same business key; it is not started."""

    @abstractmethod
    def broken_promises(self) -> list[str]:
        """What of the nine promises does not hold, once all is over."""

    @abstractmethod
    def books(self) -> list[Any]:
        """What the provider has written down, for the story of what broke."""

    def saga_id(self) -> UUID | None:
        with self.database.begin() as connection:
            found: UUID | None = connection.execute(
                text("SELECT saga_id FROM saga_state")
            ).scalar_one_or_none()
        return found

    @property
    def stands(self) -> dict[str, Any]:
        """The saga's row."""
        saga_id = self.saga_id()
        assert saga_id is not None, "it was started"
        return self.row(saga_id)

    def is_at_rest(self) -> bool:
        return self.stands["status"] in RESTING

    def recover(self) -> Pass:
        return Recovery(self.recovers_with).scan()

    def until_due(self) -> timedelta | None:
        """How long until recovery has to look at the saga, or at a pause; None: never."""
        sql = text(_UNTIL_DUE)
        with self.database.begin() as connection:
            due: timedelta | None = connection.execute(sql).scalar_one()
        return due


# A pause that ended lets its sagas go on at once; a minute later it is lifted for good.
_UNTIL_DUE = """
SELECT LEAST(s.wake_at, (
    SELECT min(CASE WHEN s.paused IN ('type', 'step') THEN p.resumed_at
               ELSE p.resumed_at + interval '1 minute' END)
    FROM saga_pause AS p WHERE p.resumed_at IS NOT NULL AND p.lifted_at IS NULL
)) - clock_timestamp()
FROM saga_state AS s"""
