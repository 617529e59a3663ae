"""One saga: where it stands and why, its steps, all that happened, and what may be done."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from saga import timeline, views
from saga.console.desk import Desk
from saga.console.live import saga_look, watched
from saga.console.notes import notes
from saga.console.pages import clauses, cut, sentence
from saga.console.session import who
from saga.errors import DefinitionNotFound
from saga.graph import Where, definition_of, drawn_as, svg
from saga.graph.svg import NARROW
from saga.graph.words import duration
from saga.masks import state_of
from saga.position import Intervention

# What a page says after an action that was done.
_DONE = {
    Intervention.RETRY: "It is being tried again.",
    Intervention.COMPENSATE: "Its compensation is ordered.",
    Intervention.CANCEL: "It is being cancelled.",
    Intervention.PAUSE: "It is paused.",
    Intervention.RESUME: "It goes on.",
    Intervention.RESOLVE: "What you found is written down.",
}


_KNOWN = "known of its steps: "


def routes(desk: Desk) -> list[Route]:
    """A saga's page, and the stream that tells that it changed."""
    registry = desk.engine.registry

    def show(request: Request) -> Response:
        masked = not who(request).sees_all
        with desk.connect() as connection:
            shown = views.show(connection, registry, request.path_params["saga_id"], masked=masked)
            saga_id = shown["saga"]["sagaId"]
            state = state_of(connection, registry, UUID(saga_id), masked=masked)
            stands = notes(connection, [shown["saga"]])
        saga = shown["saga"]
        version = saga["version"]
        return desk.pages.answer(
            request,
            "saga.html",
            saga=saga,
            shown=shown,
            why=_clauses(shown["why"], saga["sagaType"]),
            state=state,
            stands=stands,
            picture=_picture(desk, shown),
            happened=list(_happened(desk, shown)),
            done=_DONE.get(request.query_params.get("done", "")),  # type: ignore[call-overload]
            live=f"/sagas/{saga_id}/stream?shown={version}",
        )

    async def stream(request: Request) -> Response:
        saga_id = views.identified(request.path_params["saga_id"])
        return await watched(desk, request, saga_look(saga_id))

    return [Route("/sagas/{saga_id}", show), Route("/sagas/{saga_id}/stream", stream)]


def _clauses(why: str, saga_type: str) -> list[str]:
    """What is said in one line, as sentences: where it stands, then what would follow.

    What is known of its steps is left out: the page has a table of that.
    """
    return [sentence(each, saga_type) for each in clauses(why) if not each.startswith(_KNOWN)]


def _picture(desk: Desk, shown: Mapping[str, Any]) -> Markup | None:
    """The picture of its steps; None for a definition that this process does not know."""
    try:
        saga = definition_of(desk.engine.registry, shown)
    except DefinitionNotFound:
        return None
    # Its texts are escaped where it is drawn.
    # It is told whole beside the picture: an error may be as long as it likes.
    where = replace(Where.of(shown), why=cut(shown["why"]))
    return Markup(svg(drawn_as(saga, where), standalone=False, width=NARROW))  # noqa: S704


def _happened(desk: Desk, shown: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The timeline, the newest first."""
    saga = shown["saga"]
    for event in reversed(shown["events"]):
        task_id = event["taskId"]
        yield {
            "seq": event["seq"],
            "at": event["at"],
            "after": _after(event["at"], saga["startedAt"]),
            "kind": event["kind"],
            "step": timeline.short(event["step"] or "", saga["sagaType"]),
            "attempt": event["attempt"] or None,
            "outcome": timeline.outcome(event, saga["sagaType"]),
            "took": timeline.took(event["duration"]) if event["duration"] else "",
            "worker": event["worker"],
            "actor": event["actor"],
            "task_url": desk.task_url(task_id) if task_id else None,
        }


def _after(at: str, began: str) -> str:
    """How long after the start that was."""
    after = max(datetime.fromisoformat(at) - datetime.fromisoformat(began), timedelta())
    if not after:
        return ""
    if after < timedelta(minutes=1):
        return timeline.took(after.total_seconds())
    return duration(timedelta(seconds=round(after.total_seconds())))
