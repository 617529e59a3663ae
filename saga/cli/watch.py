"""``saga watch``: sagas as they go on."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.live import Live

from saga.cli.errors import UsageError
from saga.cli.invocation import current
from saga.cli.live import view
from saga.cli.loading import sagas
from saga.cli.options import Filters, spread
from saga.cli.output import console, print_json
from saga.cli.sagas import colored, table_of
from saga.cli.service import Service
from saga.filter import Filter
from saga.position import RESTING, Status
from saga.timeline import Entry, entries, short, took
from saga.views import MOST_EVENTS

_EVERY = timedelta(seconds=1)
_ENDED = frozenset({*RESTING, Status.FAILED})
_FEW = "20"


def register(root: typer.Typer) -> None:
    root.command()(watch)


@spread
def watch(
    saga_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="One saga; without it, a list.")
    ] = None,
    *,
    filters: Filters,
    limit: Annotated[str, typer.Option(help="Of a list: so many, the newest.")] = _FEW,
) -> None:
    """Watch one saga until it rests or is FAILED, or a list of sagas until Ctrl-C.

    On a terminal it is all shown at once, and redrawn; elsewhere it is a line an event.
    """
    if saga_id is not None:
        if filters.given():
            raise UsageError("with an ID there is no filter")
        _watch_one(saga_id)
        return
    wanted = filters.wanted(limit=limit)
    service = sagas()
    wanted = service.whole_step(wanted)
    try:
        if console.is_terminal and not current().json:
            _watch_table(service, wanted)
        else:
            _watch_changes(service, wanted)
    except KeyboardInterrupt:
        return


def _watch_one(saga_id: str) -> None:
    service = sagas()
    if console.is_terminal and not current().json:
        _watch_live(service, saga_id)
        return
    saga = service.look(saga_id)
    happened = _happening(service, saga_id)
    if current().json:
        for event in happened:
            print_json(event)
        return
    console.print(f"{saga['sagaType']} {saga['sagaId']}", soft_wrap=True)
    for entry in entries(happened, saga["sagaType"]):
        _print_entry(entry)
    ended = service.look(saga_id)
    console.print(f"the saga is {colored(ended['status'])}", soft_wrap=True)


def _watch_live(service: Service, saga_id: str) -> None:
    with Live(console=console, auto_refresh=False) as live:
        for seen in _shown(service, saga_id):
            live.update(view(seen, height=console.height), refresh=True)
            if seen["saga"]["status"] in _ENDED:
                return


def _shown(service: Service, saga_id: str) -> Iterator[dict[str, Any]]:
    """The saga with all its newest events, again and again."""
    events: list[dict[str, Any]] = []
    for seen in service.streamed(saga_id):
        events = [*events, *_after(events, seen["events"])][-MOST_EVENTS:]
        yield {**seen, "events": events}
    while True:
        yield service.show(saga_id)
        _wait()


def _after(before: list[dict[str, Any]], events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that are new: what was told before may be told again."""
    seen = before[-1]["seq"] if before else 0
    return [event for event in events if event["seq"] > seen]


def _happening(service: Service, saga_id: str) -> Iterator[dict[str, Any]]:
    """What happened to a saga, and what happens, until it comes to an end."""
    seen = 0
    for shown in service.streamed(saga_id):
        for event in shown["events"]:
            if event["seq"] > seen:
                seen = event["seq"]
                yield event
        if shown["saga"]["status"] in _ENDED:
            return
    while True:
        saga, events = service.happened(saga_id, seen)
        yield from events
        if events:
            seen = events[-1]["seq"]
            if seen < saga["version"]:
                continue
        if saga["status"] in _ENDED:
            return
        _wait()


def _print_entry(entry: Entry) -> None:
    after = f"{took(entry.after_seconds):>8}"
    attempt = f" #{entry.attempt}" if entry.attempt else ""
    said = [f"{after}  {entry.step}{attempt}: {entry.outcome}", entry.duration, entry.worker]
    console.print("  ".join(word for word in said if word), soft_wrap=True, markup=False)


def _watch_table(service: Service, wanted: Filter) -> None:
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(table_of(service.list_sagas(wanted)["items"]), refresh=True)
            _wait()


def _watch_changes(service: Service, wanted: Filter) -> None:
    for saga in _changes(service, wanted):
        if current().json:
            print_json(saga)
            continue
        step = short(saga["currentStep"], saga["sagaType"])
        line = f"{saga['sagaId']} {saga['status']} {saga['sagaType']} {step}"
        console.print(f"{line} {saga['businessKey'] or ''}", soft_wrap=True, markup=False)


def _changes(service: Service, wanted: Filter) -> Iterator[dict[str, Any]]:
    """Each saga of the list as it is, again when it changed, and once more when it has left it."""
    before: dict[str, int] = {}
    while True:
        page = service.list_sagas(wanted)["items"]
        now = {saga["sagaId"]: saga["version"] for saga in page}
        for saga_id in before.keys() - now.keys():
            left = service.look(saga_id)
            if left["version"] != before[saga_id]:
                yield left
        for saga in reversed(page):
            if before.get(saga["sagaId"]) != saga["version"]:
                yield saga
        before = now
        _wait()


def _wait() -> None:
    time.sleep(_EVERY.total_seconds())
