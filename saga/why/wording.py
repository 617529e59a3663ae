"""What several clauses share: instants, the last error, the ledger, the reason to go back."""

from datetime import UTC, datetime
from typing import Any

from saga.definition import Saga
from saga.position import StopReason
from saga.row import Row
from saga.task import Effect

_REASONS = {
    StopReason.REFUSED: "was refused",
    StopReason.GAVE_UP: "did not succeed",
    StopReason.TIMEOUT: "was not done in time",
}


_ALL = "every step is done"


def when(row: Row, instant: datetime | None) -> str:
    """The instant, with its date where that is not the row's own."""
    if instant is None:
        return "an unknown time"
    same_day = instant.astimezone(UTC).date() == row.now.astimezone(UTC).date()
    form = "%H:%M:%S" if same_day else "%Y-%m-%d %H:%M:%S"
    return f"{instant.astimezone(UTC).strftime(form)} UTC"


def said(row: Row) -> str:
    """The last error without the engine's own words around it."""
    return (row.error_message or "").removeprefix("Refused: ").removeprefix("TryAgain: ")


def because(saga: Saga[Any] | None, row: Row) -> str:
    """Why the saga goes, or went, back: a person's word, or the step that it did not get past."""
    if row.stop_reason is StopReason.ORDERED:
        return "because a person decided so"
    if row.stop_reason is StopReason.CANCELLED:
        return "because it was cancelled"
    steps = [] if saga is None else [step.name for step in saga.steps if step.name in row.effects]
    reason = _REASONS[row.stop_reason or StopReason.GAVE_UP]
    return f"because {steps[-1] if steps else row.step} {reason}"


def all_done(saga: Saga[Any] | None, row: Row) -> str:
    """What a COMPLETED saga did: all of its steps, but those that were skipped."""
    names = sorted(row.effects) if saga is None else [step.name for step in saga.steps]
    effects = {name: row.effect(name) for name in names}
    skipped = [
        f"{name} ({effect.value.replace('_', ' ')})"
        for name, effect in effects.items()
        if effect in {Effect.NOT_DONE, Effect.UNKNOWN}
    ]
    return f"skipped: {', '.join(skipped)}; every other step is done" if skipped else _ALL


def ledger(saga: Saga[Any] | None, row: Row) -> str:
    """What is known of each step's effect, in the words of ``saga show`` and the preview."""
    steps = sorted(row.effects) if saga is None else [step.name for step in saga.steps]
    return ", ".join(f"{step} {row.effect(step).value.replace('_', ' ')}" for step in steps)
