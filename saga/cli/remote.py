"""Sagas of an API, asked over HTTP."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

from saga.bulk import Bulk
from saga.cli.errors import CliError, UsageError
from saga.cli.inputs import json_object
from saga.cli.operations import Operation, opened, operations
from saga.cli.service import Begun, Start
from saga.cli.steps import whole
from saga.cli.wire import Wire, is_header
from saga.errors import Conflict, NotFound
from saga.filter import NAMES, Filter
from saga.operator import Acted
from saga.position import Intervention, Outcome, Status
from saga.signals import Received
from saga.views import identified
from saga.vouching import LONGEST_EVIDENCE, one_line

# A saga at work may move between a look and an action; it does not move so often in a row.
_LOOKS = 5
# A file is read again on the other side before there is an answer.
_UPLOAD_SECONDS = 300.0
_DETAIL = ("saga", "steps", "events", "allowedActions", "why")
_SAGA = ("sagaId", "status", "version")


class Remote:
    """A Service: the API that the wire leads to. Who acts is who the key belongs to."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def whole_step(self, wanted: Filter) -> Filter:
        if wanted.step is None or wanted.type is None:
            return wanted
        return replace(wanted, step=self._whole(wanted.type, wanted.step))

    def list_sagas(self, wanted: Filter) -> dict[str, Any]:
        query = _query(wanted)
        return self._wire.ask("GET", "/api/sagas", query=query, has=("items", "nextCursor"))

    def count_sagas(self) -> dict[str, Any]:
        path = "/api/sagas/counts"
        try:
            return self._wire.ask("GET", path, has=("counts", "since"))
        except NotFound:  # to an API without this route it is the id of a saga
            raise CliError(
                f"{self._wire.url} has no GET {path}; is it as new as this command?"
            ) from None

    def show(self, saga_id: str) -> dict[str, Any]:
        return self._wire.ask("GET", f"/api/sagas/{identified(saga_id)}", has=_DETAIL)

    def look(self, saga_id: str) -> dict[str, Any]:
        saga: dict[str, Any] = self.show(saga_id)["saga"]
        return saga

    def happened(self, saga_id: str, after: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        seen = self.show(saga_id)
        return seen["saga"], [event for event in seen["events"] if event["seq"] > after]

    def streamed(self, saga_id: str) -> Iterator[dict[str, Any]]:
        path = f"/api/sagas/{identified(saga_id)}/stream"
        last: str | None = None
        # The API ends each stream after a while. One that told nothing new is not asked again.
        while True:
            before = last
            for event, said, data in self._wire.stream(path, after=last):
                if event == "saga":
                    last = said
                    yield _shown(data)
            if last == before:
                return

    def preview(self, saga_id: str) -> dict[str, Any]:
        path = f"/api/sagas/{identified(saga_id)}/compensate/preview"
        return self._wire.ask("GET", path, has=("sagaId", "runs", "effects"))

    def act(
        self,
        what: Intervention,
        saga_id: UUID,
        *,
        reason: str,
        actor: str | None,
        version: int | None,
    ) -> Acted:
        _refuse_actor(actor)
        return self._acted(what, saga_id, {"reason": one_line("reason", reason)}, version)

    def act_on_many(
        self, what: Intervention, wanted: Filter, *, reason: str, actor: str | None, most: int
    ) -> Bulk:
        _refuse_actor(actor)
        said = {"reason": one_line("reason", reason)}

        def does(saga_id: UUID, version: int | None) -> Acted:
            # What is allowed after it is told of none of many: it would be a request for each.
            return _acted(self._post(what, saga_id, {**said, "version": version}), ())

        return Bulk(self.list_sagas, wanted, does, most=most)

    def resolve(
        self,
        saga_id: UUID,
        *,
        outcome: Outcome,
        evidence: str,
        reason: str,
        actor: str | None,
        step: str | None,
        state: Mapping[str, Any] | None,
        version: int | None,
    ) -> Acted:
        _refuse_actor(actor)
        said = {
            "outcome": outcome.value,
            "evidence": one_line("evidence", evidence, longest=LONGEST_EVIDENCE),
            "reason": one_line("reason", reason),
            "state": None if state is None else dict(state),
        }
        if step is not None:
            steps = self.show(str(saga_id))["steps"]
            said["step"] = whole(step, (one["name"] for one in steps))
        return self._acted(Intervention.RESOLVE, saga_id, said, version)

    def signal(
        self, saga_id: UUID, name: str, payload: Mapping[str, Any], *, signal_id: str | None
    ) -> Received:
        said = {
            "signalId": str(uuid4()) if signal_id is None else signal_id,
            "payload": dict(payload),
        }
        path = f"/api/sagas/{saga_id}/signals/{quote(name, safe='', errors='replace')}"
        told = self._wire.ask("POST", path, body=said, has=("signalId", "new"))
        return Received(saga_id=saga_id, signal_id=told["signalId"], is_new=told["new"])

    def list_pauses(self) -> dict[str, Any]:
        return self._wire.ask("GET", "/api/pauses", has=("items",))

    def set_pause(
        self, saga_type: str, *, step: str | None, reason: str, actor: str | None, paused: bool
    ) -> dict[str, Any]:
        _refuse_actor(actor)
        said = {
            "sagaType": saga_type,
            "step": None if step is None else self._whole(saga_type, step),
            "reason": one_line("reason", reason),
        }
        method = "POST" if paused else "DELETE"
        has = ("sagaType", "step", "paused")
        return self._wire.ask(method, "/api/pauses", body=said, has=has)

    def producer(self, name: str) -> Start:
        known = operations(self._wire.ask("GET", "/openapi.json", has=("paths",)))
        operation = known.get(name)
        if operation is None:
            there_are = ", ".join(sorted(known)) or "none"
            raise UsageError(
                f"no saga {name!r} can be started at {self._wire.url}; there are: {there_are}"
            )
        return lambda text, key: self._start(operation, text, key)

    def _start(self, operation: Operation, text: str | bytes, key: str | None) -> Begun:
        request = operation.request(json_object("the input", text))
        if key is not None and not is_header(key):
            raise UsageError("--idempotency-key: over HTTP it is ASCII without spaces around it")
        with ExitStack() as stack:
            told = self._wire.ask(
                operation.method,
                request.path,
                body=request.body,
                form=request.form,
                files=opened(request.files, stack),
                headers={} if key is None else {"Idempotency-Key": key},
                has=("sagaId",),
                answer_seconds=_UPLOAD_SECONDS,
            )
        saga_id = told["sagaId"]
        try:
            status = self.look(saga_id)["status"]
        except CliError as error:
            raise CliError(f"saga {saga_id} is started, but not seen: {error}") from error
        return Begun(saga_id=saga_id, status=status, is_new=None)

    def _whole(self, saga_type: str, step: str) -> str:
        """The step's whole name, as the newest saga of the type has it; else what was given."""
        if step.startswith(f"{saga_type}."):
            return step
        for saga in self.list_sagas(Filter(type=saga_type, limit=1))["items"]:
            return whole(step, (one["name"] for one in self.show(saga["sagaId"])["steps"]))
        return step

    def _acted(
        self, what: Intervention, saga_id: UUID, said: Mapping[str, Any], version: int | None
    ) -> Acted:
        """Act on the saga at this version, or as it is, and tell what is allowed afterwards."""
        told = (
            self._post_as_it_is(what, saga_id, said)
            if version is None
            else self._post(what, saga_id, {**said, "version": version})
        )
        allowed = self.show(str(saga_id))["allowedActions"]
        return _acted(told, tuple(one for one in Intervention if one in allowed))

    def _post_as_it_is(
        self, what: Intervention, saga_id: UUID, said: Mapping[str, Any]
    ) -> dict[str, Any]:
        version = self.look(str(saga_id))["version"]
        for _ in range(_LOOKS - 1):
            try:
                return self._post(what, saga_id, {**said, "version": version})
            except Conflict:
                now = self.look(str(saga_id))["version"]
                if now == version:
                    raise
                version = now
        return self._post(what, saga_id, {**said, "version": version})

    def _post(self, what: Intervention, saga_id: UUID, said: Mapping[str, Any]) -> dict[str, Any]:
        path = f"/api/sagas/{saga_id}/{what}"
        return self._wire.ask("POST", path, body=dict(said), has=_SAGA)


def _acted(told: Mapping[str, Any], allowed: tuple[Intervention, ...]) -> Acted:
    return Acted(
        saga_id=UUID(told["sagaId"]),
        status=Status(told["status"]),
        version=told["version"],
        allowed=allowed,
    )


def _shown(data: str) -> dict[str, Any]:
    """What a stream's message tells. Raises CliError where it is no saga."""
    try:
        shown = json.loads(data)
        if shown.keys() >= set(_DETAIL):
            return dict(shown)
    except (ValueError, RecursionError, AttributeError):
        pass
    raise CliError("the stream of the saga tells no saga; is the API as new as this command?")


def _refuse_actor(actor: str | None) -> None:
    if actor is not None:
        raise UsageError("over HTTP it is the key that says who acts: leave out --actor")


def _query(wanted: Filter) -> dict[str, str]:
    """The filter as a URL has it."""
    values = {name: getattr(wanted, field) for name, field in NAMES.items()}
    return {name: _text(value) for name, value in values.items() if value not in {None, False}}


def _text(value: Any) -> str:
    match value:
        case True:
            return "yes"
        case datetime():
            return value.isoformat()
        case timedelta():
            return f"{value // timedelta(seconds=1)}s"
    return str(value)
