"""Takes in a word from outside that a step took effect, which no worker brings to its saga."""

from uuid import UUID

from sqlalchemy import Connection

from saga import queries
from saga.circumstances import Circumstances
from saga.decide import decide
from saga.errors import BadKey, SagaNotFound
from saga.moves import Fail, Note
from saga.position import LateSuccess
from saga.runtime import Runtime
from saga.settlement import apply
from saga.signals import definition_of
from saga.task import Effect


def take_note(
    runtime: Runtime, connection: Connection, saga_id: UUID, *, key: str, actor: str | None
) -> bool:
    """Write down that the step of this key took effect. False: that says nothing new.

    Raises SagaNotFound, BadKey, or NotAllowedNow where the definition is unknown.
    """
    row = queries.lock(connection, saga_id)
    if row is None:
        raise SagaNotFound(saga_id)
    saga = definition_of(runtime.registry, row, "late success")
    step = row.step_of(key, (each.name for each in saga.steps if each.is_external))
    if step is None:
        raise BadKey(saga_id, key)
    # Who tells it again, after a person has dealt with it, must not call that person once more.
    if queries.has_told(connection, saga_id, key=key):
        return False
    move = decide(saga, row, LateSuccess(step, under_old_key=key != row.key_of(step)))
    assert isinstance(move, Fail | Note), "a late success moves no saga on"
    if move == Note():
        return False
    # A doubt alone may be overcome by the probe: then the same word, told again, is news.
    is_doubt = isinstance(move, Note) and move.alarm is None and move.effects[step] != Effect.DONE
    detail = {} if is_doubt else {"key": key}
    by = Circumstances(timing=runtime.timing, in_chain=False, actor=actor, detail=detail)
    apply(connection, saga, row, move, by)
    return True
