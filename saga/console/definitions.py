"""Every definition that this process knows: its picture, its limits, and what of it is paused."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from saga import queries
from saga.console.desk import Desk, to
from saga.console.door import form_of
from saga.console.pages import cut
from saga.counts import MOST_LOOKED_AT, count_versions
from saga.decide import settle_after
from saga.definition import Role, Saga, Step
from saga.errors import AlreadySo, BadIntervention, DefinitionNotFound
from saga.graph import definition, drawn_as, look, svg
from saga.graph.picture import Box
from saga.graph.svg import NARROW
from saga.graph.where import Activity
from saga.graph.words import duration, waits
from saga.position import Intervention
from saga.queries import ActivePause, Resumption
from saga.registry import Registry
from saga.views import iso
from saga.vouching import LONGEST_REASON

_PAUSED = look.ACTIVITIES[Activity.PAUSED]

# What a page says after a form that was done.
_DONE = {
    Intervention.PAUSE: "It is paused: nothing is begun there until somebody resumes it.",
    Intervention.RESUME: "It goes on.",
}


@dataclass(frozen=True, kw_only=True)
class InFlight:
    """How many sagas of one definition version are not at rest; from ``at_least``, maybe more."""

    version: int
    sagas: int
    is_known: bool

    @property
    def at_least(self) -> bool:
        return self.sagas >= MOST_LOOKED_AT


@dataclass(frozen=True, kw_only=True)
class Line:
    """One step in words: ``box`` is what its picture says of it."""

    step: Step[Any]
    box: Box

    @property
    def waits(self) -> str:
        return waits(self.step.retry)

    @property
    def asked(self) -> list[str]:
        """How long its probe is asked, and when it is believed."""
        if self.step.probe is None:
            return []
        believed = f"“did not happen” is believed {duration(settle_after(self.step))} after a call"
        if self.step.role is not Role.PIVOT:
            return [believed]
        return [believed, f"asked for {duration(self.step.probe_for)}, then a person decides"]

    @property
    def waits_back(self) -> str:
        """The waits before the retries of its compensation, where a worker runs that by itself."""
        if self.step.runnable_compensation is None or self.step.role is not Role.COMPENSATABLE:
            return ""
        return waits(self.step.compensation_retry)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One definition, as it is shown."""

    saga: Saga[Any]
    picture: Markup
    lines: Sequence[Line]

    @classmethod
    def of(cls, saga: Saga[Any]) -> "Drawn":
        picture = drawn_as(saga)
        # Its texts are escaped where it is drawn.
        drawn = Markup(svg(picture, standalone=False, width=NARROW))  # noqa: S704
        pairs = zip(saga.steps, picture.boxes, strict=True)
        return cls(
            saga=saga, picture=drawn, lines=[Line(step=step, box=box) for step, box in pairs]
        )


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A form that was not done, with all that was typed.

    ``first`` is who did it first: its pause, or its resumption.
    """

    what: Intervention
    step: str | None
    reason: str
    fault: AlreadySo | BadIntervention
    first: ActivePause | Resumption | None = None


def routes(desk: Desk) -> list[Route]:
    """All definitions, one of them, and what pauses and resumes it."""
    registry = desk.engine.registry

    def show_all(request: Request) -> Response:
        with desk.connect() as connection:
            counted = count_versions(connection)
            pauses = queries.active_pauses(connection)
        return desk.pages.answer(
            request,
            "definitions.html",
            types=[
                {
                    "drawn": Drawn.of(newest),
                    "in_flight": list(_in_flight(registry, counted, newest.name)),
                    "pauses": [pause for pause in pauses if pause.saga_type == newest.name],
                }
                for newest in _newest(registry)
            ],
            strangers=_strangers(registry, counted),
            paused=_PAUSED,
        )

    def show(request: Request) -> Response:
        return page(request, request.path_params["name"])

    def page(request: Request, name: str, refusal: Refusal | None = None) -> Response:
        with desk.connect() as connection:
            counted = count_versions(connection)
            pauses = queries.active_pauses(connection)
        newest = _known(registry, name, counted)
        status = 200 if refusal is None else 409 if isinstance(refusal.fault, AlreadySo) else 422
        versions = sorted(_versions(registry, name), key=lambda saga: -saga.version)
        return desk.pages.answer(
            request,
            "definition.html",
            status=status,
            name=name,
            newest=Drawn.of(newest),
            older=[Drawn.of(saga) for saga in versions[1:]],
            in_flight=list(_in_flight(registry, counted, name)),
            pauses=[pause for pause in pauses if pause.saga_type == name],
            steps=list(dict.fromkeys(step.name for saga in versions for step in saga.steps)),
            paused=_PAUSED,
            refusal=refusal,
            iso=iso,
            longest_reason=LONGEST_REASON,
            done=_DONE.get(request.query_params.get("done", "")),  # type: ignore[call-overload]
        )

    def changing(what: Intervention) -> Callable[[Request], Response]:
        def change(request: Request) -> Response:
            operator, form = desk.operator(request), form_of(request)
            name = _known(registry, request.path_params["name"], {}).name
            step, reason = str(form.get("step", "")) or None, str(form.get("reason", ""))
            act = operator.pause_type if what is Intervention.PAUSE else operator.resume_type
            try:
                act(name, step=step, reason=reason)
            except (AlreadySo, BadIntervention) as fault:
                first = None
                if isinstance(fault, AlreadySo):
                    with desk.connect() as connection:
                        first = _first(connection, what, name, step)
                refusal = Refusal(what=what, step=step, reason=reason, fault=fault, first=first)
                return page(request, name, refusal)
            return to(request, f"/definitions/{name}?done={what}")

        return change

    return [
        Route("/definitions", show_all),
        Route("/definitions/{name}", show),
        *(
            Route(f"/definitions/{{name}}/{what}", changing(what), methods=["POST"])
            for what in (Intervention.PAUSE, Intervention.RESUME)
        ),
    ]


def _newest(registry: Registry) -> Iterator[Saga[Any]]:
    for name in dict.fromkeys(saga.name for saga in registry):
        yield definition(registry, name)


def _versions(registry: Registry, name: str) -> Iterator[Saga[Any]]:
    return (saga for saga in registry if saga.name == name)


def _known(registry: Registry, name: str, counted: Mapping[tuple[str, int], int]) -> Saga[Any]:
    """The newest definition of this name. Raises DefinitionNotFound, which tells of its sagas."""
    try:
        return definition(registry, name)
    except DefinitionNotFound as error:
        sagas = sum(sagas for (saga_type, _), sagas in counted.items() if saga_type == name)
        told = f", though sagas of it are open ({sagas})" if sagas else ""
        what = f"no definition of {cut(name, 100)!r} is known here{told}"
        raise DefinitionNotFound(what, error.known) from error


def _in_flight(
    registry: Registry, counted: Mapping[tuple[str, int], int], name: str
) -> Iterator[InFlight]:
    """Of each version that is known or has open sagas, the newest first."""
    known = {saga.version for saga in _versions(registry, name)}
    open_ = {version: sagas for (saga_type, version), sagas in counted.items() if saga_type == name}
    for version in sorted(known | open_.keys(), reverse=True):
        yield InFlight(version=version, sagas=open_.get(version, 0), is_known=version in known)


def _strangers(
    registry: Registry, counted: Mapping[tuple[str, int], int]
) -> dict[str, list[InFlight]]:
    """Types that have open sagas, but no definition here."""
    known = {saga.name for saga in registry}
    names = sorted({saga_type for saga_type, _ in counted} - known)
    return {name: list(_in_flight(registry, counted, name)) for name in names}


def _first(
    connection: Connection, what: Intervention, name: str, step: str | None
) -> ActivePause | Resumption | None:
    """Who was first; None where that was undone meanwhile."""
    if what is Intervention.RESUME:
        return queries.last_resumption(connection, saga_type=name, step=step)
    pauses = queries.active_pauses(connection)
    at = (name, step)
    return next((pause for pause in pauses if (pause.saga_type, pause.step) == at), None)
