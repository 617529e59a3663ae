"""One action on one saga: what it would come to, a reason, and the button that does it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from saga import bulk, queries, views
from saga.console.desk import Desk, to
from saga.console.door import form_of
from saga.console.pages import clauses
from saga.decide import why_not
from saga.errors import BadIntervention, Conflict, MovedSince, NotAllowedNow, SagaNotFound
from saga.operator import Operator
from saga.outlook import what_follows
from saga.position import Intervened, Intervention, Outcome
from saga.vouching import LONGEST_EVIDENCE, LONGEST_REASON

MEANINGS = {
    Intervention.RETRY: "Try what is in hand now.",
    Intervention.COMPENSATE: "Take back all that the saga did, past the pivot too.",
    Intervention.CANCEL: "Let the saga go back; a call in hand ends first.",
    Intervention.PAUSE: "Let nothing be begun for the saga; a call in hand ends first.",
    Intervention.RESUME: "Let the saga go on from where it stands.",
    Intervention.RESOLVE: "Write down what you found out, with how you know it.",
}

# What a person did to a saga, as it is told to the next one.
ACTS = {
    Intervention.RETRY: "retried",
    Intervention.COMPENSATE: "compensated",
    Intervention.CANCEL: "cancelled",
    Intervention.PAUSE: "paused",
    Intervention.RESUME: "resumed",
    Intervention.RESOLVE: "resolved",
}

_LONGEST_NUMBER = 18  # digits; a longer one is nobody's version

# What goes back has compensations to show beforehand.
_GOES_BACK = {Intervention.COMPENSATE, Intervention.CANCEL}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a person may find out: what it does to the saga, or why it may not be."""

    step: str | None
    outcome: Outcome
    follows: str


def routes(desk: Desk) -> list[Route]:
    """For each action a page that asks, and what is sent from there."""
    registry = desk.engine.registry

    def ask(request: Request) -> Response:
        desk.operator(request)
        return page(request, _meant(request))

    def page(
        request: Request,
        what: Intervention,
        *,
        typed: Mapping[str, Any] | None = None,
        fault: Exception | None = None,
    ) -> Response:
        saga_id = views.identified(request.path_params["saga_id"])
        with desk.connect() as connection:
            shown = views.show(connection, registry, saga_id)
            row = queries.look(connection, saga_id)
            back = views.show_preview(connection, registry, saga_id) if what in _GOES_BACK else None
        if row is None:
            raise SagaNotFound(saga_id)
        saga = registry.having(row.saga_type, row.definition_version, step=row.step)
        refusal = "no process here knows its definition" if saga is None else None
        follows, findings = None, []
        if saga is not None and (refusal := told_not(what, why_not(saga, row, what))) is None:
            if what is Intervention.RESOLVE:
                findings = _findings(saga, row)
            else:
                follows = what_follows(saga, row, Intervened(what=what))
        status = 200 if fault is None else 409 if isinstance(fault, Conflict) else 422
        return desk.pages.answer(
            request,
            "action.html",
            status=status,
            saga=shown["saga"],
            stands=clauses(shown["why"])[0],
            what=what,
            meaning=MEANINGS[what],
            why_not=refusal,
            follows=follows,
            findings=findings,
            back=back,
            allowed=shown["allowedActions"],
            moved=isinstance(fault, MovedSince | NotAllowedNow),
            last=_last_act(shown["events"], typed),
            acts=ACTS,
            typed=typed or {},
            fault=fault,
            field=getattr(fault, "field", None),
            longest_reason=LONGEST_REASON,
            longest_evidence=LONGEST_EVIDENCE,
        )

    def do(request: Request) -> Response:
        operator, what = desk.operator(request), _meant(request)
        saga_id = views.identified(request.path_params["saga_id"])
        form = form_of(request)
        try:
            _act(operator, what, saga_id, form)
        except (Conflict, BadIntervention) as fault:
            return page(request, what, typed=form, fault=fault)
        return to(request, f"/sagas/{saga_id}?done={what}")

    path = "/sagas/{saga_id}/{action}"
    return [Route(path, ask), Route(path, do, methods=["POST"])]


def told_not(what: Intervention, why: str | None) -> str | None:
    """Why the action may not be, as a sentence of its own; None where it may."""
    return f"{why} {ACTS[what]}" if why is not None and why.endswith("can be") else why


def version_of(text: object) -> int:
    """The version that a form was made of. Raises BadIntervention."""
    if (version := _number(text)) is None:
        raise BadIntervention("version", "must be a number; open the saga again")
    return version


def _number(text: object) -> int | None:
    said = str(text)
    is_one = said.isascii() and said.isdecimal() and len(said) <= _LONGEST_NUMBER
    return int(said) if is_one else None


def _meant(request: Request) -> Intervention:
    try:
        return Intervention(request.path_params["action"])
    except ValueError:
        raise HTTPException(404) from None


def _act(operator: Operator, what: Intervention, saga_id: UUID, form: Mapping[str, Any]) -> None:
    reason, version = str(form.get("reason", "")), version_of(form.get("version", ""))
    if what is not Intervention.RESOLVE:
        bulk.act(operator, what, reason=reason)(saga_id, version)
        return
    step, _, outcome = str(form.get("finding", "")).rpartition(":")
    if outcome not in set(Outcome):
        raise BadIntervention("finding", "must be chosen: say what you found out")
    operator.resolve(
        saga_id,
        outcome=Outcome(outcome),
        evidence=str(form.get("evidence", "")),
        reason=reason,
        step=step or None,
        state=_state(str(form.get("state", ""))),
        version=version,
    )


def _state(text: str) -> dict[str, Any] | None:
    if not text.strip():
        return None
    try:
        state = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadIntervention("state", f"is no JSON: {str(error)[:200]}") from error
    if not isinstance(state, dict):
        raise BadIntervention("state", 'must be a JSON object such as {"refundNo": "R1"}')
    return state


def _findings(saga: Any, row: Any) -> list[Finding]:
    """All that may be found out about the saga: of each step it came to, and of all of it.

    What is in hand is what one is asked about most often.
    """
    found = []
    others = [step.name for step in saga.steps if step.name != row.step]
    for step in [row.step, None, *others]:
        if why_not(saga, row, Intervention.RESOLVE, step) is not None:
            continue
        for outcome in Outcome:
            asked = Intervened(what=Intervention.RESOLVE, step=step, outcome=outcome)
            found.append(
                Finding(step=step, outcome=outcome, follows=what_follows(saga, row, asked))
            )
    return found


def _last_act(
    events: list[dict[str, Any]], typed: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """What a person did to it since the version that was seen: who comes second is told of it."""
    seen = _number((typed or {}).get("version"))
    acts = [event for event in events if event["actor"] and "asked" in event["detail"]]
    return next((act for act in reversed(acts) if seen is not None and act["seq"] > seen), None)
