"""Whole saga types, and steps of them, that ``saga pause`` and ``saga resume`` name."""

from collections.abc import Callable

from rich.markup import escape
from rich.table import Table

from saga.cli.database import database_errors
from saga.cli.errors import UsageError
from saga.cli.invocation import current
from saga.cli.loading import connect
from saga.cli.options import Filters, Signed
from saga.cli.output import console, print_json
from saga.cli.steps import whole
from saga.operator import Operator
from saga.views import list_pauses as view


def pause_type(filters: Filters, signed: Signed) -> None:
    """Let nothing be begun for a type, or at one step of it."""
    _set(filters, signed, lambda operator: operator.pause_type, paused=True)


def resume_type(filters: Filters, signed: Signed) -> None:
    """End such a pause."""
    _set(filters, signed, lambda operator: operator.resume_type, paused=False)


def _set(
    filters: Filters,
    signed: Signed,
    choose: Callable[[Operator], Callable[..., None]],
    *,
    paused: bool,
) -> None:
    saga_type, reason = filters.type_, signed.because
    others = set(filters.given()) - {"type", "step"}
    if saga_type is None or others:
        raise UsageError(
            "without an ID, name a --type, maybe with a --step; other filters go with --all"
        )
    engine = connect().engine
    names = [step.name for saga in engine.registry if saga.name == saga_type for step in saga.steps]
    step = None if filters.step is None else whole(filters.step, names)
    with database_errors():
        choose(Operator(engine, actor=signed.name))(saga_type, step=step, reason=reason)
    if current().json:
        print_json({"sagaType": saga_type, "step": step, "paused": paused})
    else:
        console.print(f"{step or saga_type} is {'paused' if paused else 'resumed'}", soft_wrap=True)


def list_pauses() -> None:
    """Tell what is paused now."""
    with database_errors(), connect().engine.database.connect() as connection:
        seen = view(connection)
    if current().json:
        print_json(seen)
        return
    if not seen["items"]:
        console.print("no type and no step is paused; paused sagas: saga list --paused")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("type", "step", "since", "by", "reason"):
        table.add_column(column, overflow="fold")
    for pause in seen["items"]:
        since = f"{pause['at'][:19]}Z"
        step = pause["step"] or "all of it"
        said = (escape(pause["actor"]), escape(pause["reason"]))
        table.add_row(pause["sagaType"], step, since, *said)
    console.print(table, soft_wrap=True)
