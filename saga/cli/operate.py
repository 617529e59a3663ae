"""``saga retry``, ``compensate``, ``cancel``, ``pause``, ``resume``: what operators do."""

from typing import Annotated, Any

import typer

from saga.bulk import meant
from saga.cli.errors import CliError
from saga.cli.invocation import current
from saga.cli.loading import sagas
from saga.cli.many import tell_many
from saga.cli.options import Filters, Signed, Which, spread
from saga.cli.output import console, has_terminal, print_json
from saga.cli.pauses import list_pauses, pause_type, resume_type
from saga.cli.previews import print_preview
from saga.operator import Acted
from saga.position import Intervention
from saga.views import identified


def register(root: typer.Typer) -> None:
    root.command()(retry)
    root.command()(compensate)
    root.command()(cancel)
    root.command()(pause)
    root.command()(resume)


@spread
def retry(which: Which, signed: Signed, filters: Filters) -> None:
    """Try what is in hand now; of a FAILED saga with fresh attempts and fresh time.

    With --all and no --status: the FAILED ones.
    """
    _act(Intervention.RETRY, which, signed, filters)


@spread
def compensate(
    which: Which,
    signed: Signed,
    filters: Filters,
    *,
    preview: Annotated[
        bool, typer.Option("--preview", help="Only tell what would run, also of a RUNNING saga.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
) -> None:
    """Take back all that a FAILED saga did, past the pivot too. On a terminal it asks first.

    With --all and no --status: the FAILED ones.
    """
    asks = has_terminal() and not yes and not current().json
    if preview:
        _preview(which.one(filters))
        return
    if which.every:
        if asks and not typer.confirm(f"compensate up to {which.most} FAILED sagas?"):
            raise CliError("nothing was done")
        _act(Intervention.COMPENSATE, which, signed, filters)
        return
    version = which.version
    if asks:
        _ = signed.because
        seen = _preview(which.one(filters))
        # What is confirmed is what is done: should it move meanwhile, it is refused.
        version = version or seen["version"]
        if seen["allowed"] and not typer.confirm("compensate it?"):
            raise CliError("nothing was done")
    _one(Intervention.COMPENSATE, which.one(filters), signed, version)


@spread
def cancel(which: Which, signed: Signed, filters: Filters) -> None:
    """Let a RUNNING saga go back, as long as its pivot was not accepted.

    A call in hand ends first. With --all and no --status: the RUNNING ones.
    """
    _act(Intervention.CANCEL, which, signed, filters)


@spread
def pause(
    which: Which,
    signed: Signed,
    filters: Filters,
    *,
    list_: Annotated[bool, typer.Option("--list", help="Only tell what is paused now.")] = False,
) -> None:
    """Let nothing be begun for one saga (ID), many (--all), or a whole type or step (--type).

    Its clock stops; a call in hand ends first. With --type, --step names one step of it, and sagas
    that are started later are paused too.
    """
    if list_:
        list_pauses()
    elif _is_of_type(which, filters):
        pause_type(filters, signed)
    else:
        _act(Intervention.PAUSE, which, signed, filters)


@spread
def resume(which: Which, signed: Signed, filters: Filters) -> None:
    """Let what was paused go on from where it stands: one saga, many, or a type or step."""
    if _is_of_type(which, filters):
        resume_type(filters, signed)
    else:
        _act(Intervention.RESUME, which, signed, filters)


def _is_of_type(which: Which, filters: Filters) -> bool:
    return which.saga_id is None and not which.every and bool(filters.given())


def _act(what: Intervention, which: Which, signed: Signed, filters: Filters) -> None:
    if not which.every:
        _one(what, which.one(filters), signed, which.version)
        return
    which.check_many(filters)
    wanted, reason = meant(filters.wanted(), what), signed.because
    service = sagas()
    wanted = service.whole_step(wanted)
    tell_many(
        service.act_on_many(what, wanted, reason=reason, actor=signed.actor, most=which.most),
        most=which.most,
    )


def _one(what: Intervention, saga_id: str, signed: Signed, version: int | None) -> None:
    key, reason = identified(saga_id), signed.because
    tell(sagas().act(what, key, reason=reason, actor=signed.actor, version=version))


def tell(acted: Acted) -> None:
    """Say where a saga stands after an action."""
    allowed = [what.value for what in acted.allowed]
    if current().json:
        print_json(
            {
                "sagaId": str(acted.saga_id),
                "status": acted.status.value,
                "version": acted.version,
                "allowedActions": allowed,
            }
        )
        return
    console.print(
        f"saga {acted.saga_id} is {acted.status}, version {acted.version}", soft_wrap=True
    )
    console.print(f"an operator may now: {', '.join(allowed) or 'nothing'}", soft_wrap=True)


def _preview(saga_id: str) -> dict[str, Any]:
    seen = sagas().preview(saga_id)
    if current().json:
        print_json(seen)
    else:
        print_preview(seen)
    return seen
