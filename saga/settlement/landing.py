"""What every settled move shares: it landed or it did not, and an alarm is heard."""

from typing import Any

import structlog

from saga.definition import Saga
from saga.errors import MovedMeanwhile
from saga.masking import Mask
from saga.moves import Fail
from saga.row import Row

log = structlog.get_logger("saga")


def landed(moved: Row | None) -> Row:
    """The row as it stands now. Raises MovedMeanwhile when nothing was written."""
    if moved is None:
        raise MovedMeanwhile("the row was moved by somebody who did not lock it")
    return moved


def raise_alarm(saga: Saga[Any], row: Row, alarm: str) -> None:
    """Call a person: what about, and what is known of each step's effect."""
    log.error(
        "alarm",
        saga_id=str(row.saga_id),
        saga_type=row.saga_type,
        step=row.step,
        why=Mask.of(saga, row.state).text(alarm),
        effects={step.name: row.effect(step.name).value for step in saga.steps},
    )


def told(saga: Saga[Any], row: Row, error: Exception) -> Exception:
    """The error as Celery may log and send it: the same, but without what is sensitive."""
    return Mask.of(saga, row.state).error(error) if saga.sensitive else error


def broken_state(saga: Saga[Any], row: Row) -> Fail:
    """A stored state that no longer fits its model: nobody but a person can go on."""
    return Fail(
        advice=f"the state stored for {row.step} no longer fits {saga.state.__name__}: find out "
        "which change of the model left it behind (expand, then contract)"
    )
