"""The same action on many sagas: what each would come to, a reason, and how each went."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from saga import bulk, queries, views
from saga.console.actions import MEANINGS, told_not, version_of
from saga.console.desk import Desk
from saga.console.door import form_of
from saga.console.notes import notes
from saga.decide import why_not
from saga.errors import BadIntervention, Conflict, NotFound, SagaNotFound
from saga.filter import MOST
from saga.outlook import what_follows
from saga.position import Intervened, Intervention
from saga.vouching import LONGEST_REASON, one_line

# RESOLVE is about one saga: each has evidence of its own.
MANY = tuple(what for what in Intervention if what is not Intervention.RESOLVE)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A saga of many, as it was seen: what would become of it, or why it may not be."""

    saga_id: UUID
    version: int
    saga: Mapping[str, Any] | None
    follows: str | None = None
    why_not: str | None = None


@dataclass(frozen=True, kw_only=True)
class Went:
    """How it went with one saga: it as it is now, None where it is gone; the refusal, if any."""

    saga_id: UUID
    saga: Mapping[str, Any] | None
    refusal: str | None


def routes(desk: Desk) -> list[Route]:
    """A page that asks, and one that tells how it went. Both come from forms."""

    def ask(request: Request) -> Response:
        desk.operator(request)
        return page(request, fault=None)

    def page(request: Request, *, fault: BadIntervention | None) -> Response:
        form = form_of(request)
        what, seen = _asked(form)
        with desk.connect() as connection:
            chosen = [_chosen(desk, connection, what, *each) for each in seen]
            stands = notes(connection, [each.saga for each in chosen if each.saga is not None])
        # What can be done comes first.
        chosen.sort(key=lambda each: each.why_not is not None)
        return desk.pages.answer(
            request,
            "many.html",
            status=200 if fault is None else 422,
            what=what,
            meaning=MEANINGS[what],
            chosen=chosen,
            stands=stands,
            can=sum(each.why_not is None for each in chosen),
            reason=form.get("reason", ""),
            back=_back(form),
            fault=fault,
            longest_reason=LONGEST_REASON,
        )

    def do(request: Request) -> Response:
        operator, form = desk.operator(request), form_of(request)
        what, seen = _asked(form)
        try:
            reason = one_line("reason", str(form.get("reason", "")))
        except BadIntervention as fault:
            return page(request, fault=fault)
        refused = dict(_refused(bulk.act(operator, what, reason=reason), seen))
        with desk.connect() as connection:
            went = [_went(connection, saga_id, refused.get(saga_id)) for saga_id, _ in seen]
            stands = notes(connection, [each.saga for each in went if each.saga is not None])
        return desk.pages.answer(
            request,
            "went.html",
            what=what,
            went=went,
            stands=stands,
            done=sum(each.refusal is None for each in went),
            back=_back(form),
        )

    return [
        Route("/sagas/many", ask, methods=["POST"]),
        Route("/sagas/many/done", do, methods=["POST"]),
    ]


def _asked(form: Any) -> tuple[Intervention, Sequence[tuple[UUID, int]]]:
    """The action, and the sagas as they were seen. Raises BadIntervention."""
    what = str(form.get("action", ""))
    if what not in MANY:
        raise BadIntervention("action", f"must be one of {', '.join(MANY)}")
    seen = []
    for text in form.getlist("saga")[: MOST + 1]:
        saga_id, _, version = str(text).partition("@")
        seen.append((views.identified(saga_id), version_of(version)))
    if not seen:
        raise BadIntervention("saga", "must be chosen: go back and tick at least one saga")
    if len(seen) > MOST:
        raise BadIntervention("saga", f"must be at most {MOST} at once")
    return Intervention(what), seen


def _chosen(
    desk: Desk, connection: Connection, what: Intervention, saga_id: UUID, version: int
) -> Chosen:
    row = queries.look(connection, saga_id)
    if row is None:
        gone = "it is not there any more"
        return Chosen(saga_id=saga_id, version=version, saga=None, why_not=gone)
    told = views.one(connection, saga_id)
    saga = desk.engine.registry.having(row.saga_type, row.definition_version, step=row.step)
    if saga is None:
        refusal: str | None = "no process here knows its definition"
    elif row.version != version:
        refusal = f"it has moved since you saw it, and is {row.status} now"
    else:
        refusal = told_not(what, why_not(saga, row, what))
    follows = None
    if saga is not None and refusal is None:
        follows = what_follows(saga, row, Intervened(what=what))
    return Chosen(saga_id=saga_id, version=version, saga=told, follows=follows, why_not=refusal)


def _refused(act: bulk.Act, seen: Sequence[tuple[UUID, int]]) -> Iterator[tuple[UUID, str]]:
    """Act on each; those that refuse, with why."""
    for saga_id, version in seen:
        try:
            act(saga_id, version)
        except (Conflict, NotFound) as refusal:
            yield saga_id, str(refusal)


def _went(connection: Connection, saga_id: UUID, refusal: str | None) -> Went:
    try:
        saga = views.one(connection, saga_id)
    except SagaNotFound:
        saga = None
    return Went(saga_id=saga_id, saga=saga, refusal=refusal)


def _back(form: Any) -> str:
    """The filters of the list that one came from, to go back to."""
    return str(form.get("from", ""))[:2_000]
