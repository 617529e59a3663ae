"""``saga resolve``: what a person found out about a FAILED saga."""

from typing import Annotated, Any

import typer

from saga import queries
from saga.circumstances import plain
from saga.cli.database import database_errors
from saga.cli.inputs import json_object
from saga.cli.loading import connect
from saga.cli.operate import tell
from saga.cli.options import Signed, spread
from saga.cli.steps import whole
from saga.engine import Engine
from saga.errors import SagaNotFound
from saga.operator import Operator
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
    engine = connect().engine
    with database_errors():
        acted = Operator(engine, actor=signed.name).resolve(
            key,
            outcome=outcome,
            evidence=evidence,
            reason=reason,
            step=None if step is None else whole(step, _steps(engine, saga_id)),
            state=values,
            version=version,
        )
    tell(acted)


def _steps(engine: Engine, saga_id: str) -> list[str]:
    with engine.database.connect() as connection:
        row = queries.look(connection, identified(saga_id))
    if row is None:
        raise SagaNotFound(saga_id)
    saga = engine.registry.having(row.saga_type, row.definition_version, step=row.step)
    return [] if saga is None else [step.name for step in saga.steps]
