"""Which tasks a saga needs where it stands, and the lane they go to."""

from collections.abc import Iterator
from typing import Any

from saga.decide import to_take_back
from saga.definition import Saga
from saga.followup import Lane, Publication
from saga.position import Status, WaitingFor
from saga.row import Row
from saga.task import NothingToCompensate


def publication(saga: Saga[Any], row: Row) -> Publication:
    """The chain that a saga needs where it stands."""
    return Publication(
        saga_id=row.saga_id, epoch=row.epoch, tasks=tuple(_tasks(saga, row)), lane=lane(row)
    )


def lane(row: Row) -> Lane:
    """The queue that a saga's messages go to where it stands."""
    if row.status is Status.COMPENSATING:
        return Lane.COMPENSATION
    untouched = row.step_index == 0 and row.attempt == 0 and row.waiting_for is None
    return Lane.NEW if untouched else Lane.CONTINUING


def _tasks(saga: Saga[Any], row: Row) -> Iterator[str]:
    index = saga.index(row.step)
    if row.waiting_for in {WaitingFor.PROBE, WaitingFor.SECOND_LOOK}:
        if (probe := saga.steps[index].probe) is not None:
            yield probe.name
        return
    if row.status is Status.RUNNING:
        yield from (step.name for step in saga.steps[index:])
        return
    for step in to_take_back(saga, row, row.stop_reason):
        if (compensation := step.runnable_compensation) is not None:
            yield compensation.name
        elif not isinstance(step.compensation, NothingToCompensate):
            return  # a person's
