"""What operators say when they act: their words, and the state that they vouch for."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from saga.circumstances import plain
from saga.definition import Saga
from saga.errors import BadIntervention
from saga.inputs import is_storable, plain_fault
from saga.position import Intervened, Outcome
from saga.row import Row

LONGEST_REASON = 500
LONGEST_EVIDENCE = 2_000


def one_line(field: str, text: str, *, longest: int = LONGEST_REASON) -> str:
    """A person's words in one line, none of them lost: what is too long is refused."""
    if "\0" in text:
        raise BadIntervention(field, "must not contain U+0000")
    if len(text) > longest:
        raise BadIntervention(field, f"must not be longer than {longest}")
    line = plain(text, longest=longest)
    if not line:
        raise BadIntervention(field, "must say something")
    return line


def vouched_state(
    saga: Saga[Any], row: Row, asked: Intervened, given: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """What the saga remembers from now on, where a person vouches that its step is done."""
    is_done = asked.outcome is Outcome.DONE and asked.step == row.step
    if given is not None and not is_done:
        raise BadIntervention("state", f"goes with the step in hand, {row.step}, that is done")
    if not is_done:
        return None
    try:
        state = saga.state.model_validate(row.state)
        vouched = saga.step(row.step).vouched
        if vouched is not None:
            state = vouched(state, row.key)
        laid_over = {**state.model_dump(mode="json"), **(given or {})}
        new: Mapping[str, Any] = saga.state.model_validate(laid_over).model_dump(mode="json")
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(["state", *map(str, fault["loc"])])
        raise BadIntervention(where, plain_fault(fault)) from error
    if not is_storable(new):
        what = "U+0000, half a character, NaN or infinity"
        raise BadIntervention("state", f"must not contain {what}")
    return new
