"""``saga resolve``: what a person found out about a FAILED saga."""

from typing import Annotated, Any

import typer

from saga.circumstances import plain
from saga.cli.inputs import json_object
from saga.cli.loading import sagas
from saga.cli.operate import tell
from saga.cli.options import Signed, spread
from saga.position import Outcome
from saga.views import identified
from saga.vouching import LONGEST_REASON


def register(root: typer.Typer) -> None:
    root.command()(resolve)


@spread
def resolve(
    saga_id: Annotated[str, typer.Argument(metavar="ID", help="The saga's id.")],
    signed: Signed,
    *,
    outcome: Annotated[Outcome, typer.Option(help="Whether it took effect.")],
    evidence: Annotated[str, typer.Option(help="How you know; also the reason, if none is given.")],
    step: Annotated[
        str | None, typer.Option(help="Of this step, may be short; else of the whole saga.")
    ] = None,
    state: Annotated[
        str | None, typer.Option(metavar="JSON", help="Laid over what the saga remembers.")
    ] = None,
    version: Annotated[int | None, typer.Option(min=1, help="The saga's, as you saw it.")] = None,
) -> None:
    """Write down what you found out about a FAILED saga's step, or about all of it.

    A step in hand that is done lets the saga go forward; one that is not done lets it go back.
    """
    key = identified(saga_id)
    values: dict[str, Any] | None = None if state is None else json_object("--state", state)
    # It is one word for both: the evidence may be longer.
    reason = signed.reason or plain(evidence, longest=LONGEST_REASON)
    acted = sagas().resolve(
        key,
        outcome=outcome,
        evidence=evidence,
        reason=reason,
        actor=signed.actor,
        step=step,
        state=values,
        version=version,
    )
    tell(acted)
