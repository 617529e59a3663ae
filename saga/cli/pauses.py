"""Whole saga types, and steps of them, that ``saga pause`` and ``saga resume`` name."""

from rich.markup import escape
from rich.table import Table

from saga.cli.errors import UsageError
from saga.cli.invocation import current
from saga.cli.loading import sagas
from saga.cli.options import Filters, Signed
from saga.cli.output import console, print_json


def pause_type(filters: Filters, signed: Signed) -> None:
    """Let nothing be begun for a type, or at one step of it."""
    _set(filters, signed, paused=True)


def resume_type(filters: Filters, signed: Signed) -> None:
    """End such a pause."""
    _set(filters, signed, paused=False)


def _set(filters: Filters, signed: Signed, *, paused: bool) -> None:
    saga_type, reason = filters.type_, signed.because
    others = set(filters.given()) - {"type", "step"}
    if saga_type is None or others:
        raise UsageError(
            "without an ID, name a --type, maybe with a --step; other filters go with --all"
        )
    told = sagas().set_pause(
        saga_type, step=filters.step, reason=reason, actor=signed.actor, paused=paused
    )
    if current().json:
        print_json(told)
    else:
        what = told["step"] or saga_type
        console.print(f"{what} is {'paused' if paused else 'resumed'}", soft_wrap=True)


def list_pauses() -> None:
    """Tell what is paused now."""
    seen = sagas().list_pauses()
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
