"""Sagas of an application on its own servers."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from saga import counts, lists, queries, views
from saga.access import ACTOR
from saga.application import Producer
from saga.bulk import Bulk, act, pages_of
from saga.cli.database import database_errors
from saga.cli.errors import UsageError
from saga.cli.inputs import read
from saga.cli.options import login_name
from saga.cli.service import Begun, Start
from saga.cli.steps import of_step, whole
from saga.engine import Engine
from saga.errors import SagaNotFound
from saga.filter import Filter
from saga.operator import Acted, Operator
from saga.position import Intervention, Outcome
from saga.signals import Received


class Local:
    """A Service: an engine, and the functions by which its sagas are started."""

    def __init__(self, engine: Engine, producers: Mapping[str, Producer] | None = None) -> None:
        self._engine = engine
        self._producers = producers or {}

    def whole_step(self, wanted: Filter) -> Filter:
        return of_step(wanted, self._engine.registry)

    def list_sagas(self, wanted: Filter) -> dict[str, Any]:
        with database_errors(), self._engine.database.connect() as connection:
            return lists.list_sagas(connection, wanted)

    def count_sagas(self) -> dict[str, Any]:
        with database_errors(), self._engine.database.connect() as connection:
            return counts.count_sagas(connection)

    def show(self, saga_id: str) -> dict[str, Any]:
        with database_errors(), self._engine.database.connect() as connection:
            return views.show(connection, self._engine.registry, saga_id)

    def look(self, saga_id: str) -> dict[str, Any]:
        with database_errors(), self._engine.database.connect() as connection:
            return views.one(connection, saga_id)

    def happened(self, saga_id: str, after: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        with database_errors(), self._engine.database.connect() as connection:
            # The saga first: what it tells of has an event by then.
            saga = views.one(connection, saga_id)
            return saga, views.events_after(connection, saga_id, after)

    def streamed(self, saga_id: str) -> Iterator[dict[str, Any]]:  # noqa: ARG002 - none is
        return iter(())

    def preview(self, saga_id: str) -> dict[str, Any]:
        with database_errors(), self._engine.database.connect() as connection:
            return views.show_preview(connection, self._engine.registry, saga_id)

    def act(
        self,
        what: Intervention,
        saga_id: UUID,
        *,
        reason: str,
        actor: str | None,
        version: int | None,
    ) -> Acted:
        does = act(self._operator(actor), what, reason=reason)
        with database_errors():
            return does(saga_id, version)

    def act_on_many(
        self, what: Intervention, wanted: Filter, *, reason: str, actor: str | None, most: int
    ) -> Bulk:
        does = act(self._operator(actor), what, reason=reason)
        return Bulk(pages_of(self._engine), wanted, does, most=most)

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
        with database_errors():
            return self._operator(actor).resolve(
                saga_id,
                outcome=outcome,
                evidence=evidence,
                reason=reason,
                step=None if step is None else whole(step, self._steps(saga_id)),
                state=state,
                version=version,
            )

    def signal(
        self, saga_id: UUID, name: str, payload: Mapping[str, Any], *, signal_id: str | None
    ) -> Received:
        with database_errors():
            return self._operator(None).signal(saga_id, name, payload, signal_id=signal_id)

    def list_pauses(self) -> dict[str, Any]:
        with database_errors(), self._engine.database.connect() as connection:
            return views.list_pauses(connection)

    def set_pause(
        self, saga_type: str, *, step: str | None, reason: str, actor: str | None, paused: bool
    ) -> dict[str, Any]:
        known = [saga for saga in self._engine.registry if saga.name == saga_type]
        if step is not None:
            step = whole(step, (one.name for saga in known for one in saga.steps))
        operator = self._operator(actor)
        with database_errors():
            if paused:
                operator.pause_type(saga_type, step=step, reason=reason)
            else:
                operator.resume_type(saga_type, step=step, reason=reason)
        return {"sagaType": saga_type, "step": step, "paused": paused}

    def producer(self, name: str) -> Start:
        producer = self._producers.get(name)
        if producer is None:
            known = ", ".join(sorted(self._producers)) or "none"
            raise UsageError(f"no saga {name!r} can be started here; there are: {known}")

        def start(text: str | bytes, key: str | None) -> Begun:
            """Start one saga in a transaction of its own, published after it."""
            asked = read(producer.input, text)
            info = {ACTOR: login_name()}
            with (
                database_errors(),
                Session(self._engine.database, info=info) as session,
                session.begin(),
            ):
                started = producer.start(self._engine, session, asked, key)
            return Begun(
                saga_id=str(started.saga_id), status=started.status.value, is_new=started.is_new
            )

        return start

    def _operator(self, actor: str | None) -> Operator:
        return Operator(self._engine, actor=actor or login_name())

    def _steps(self, saga_id: UUID) -> list[str]:
        with self._engine.database.connect() as connection:
            row = queries.look(connection, saga_id)
        if row is None:
            raise SagaNotFound(saga_id)
        registry = self._engine.registry
        saga = registry.having(row.saga_type, row.definition_version, step=row.step)
        return [] if saga is None else [step.name for step in saga.steps]
