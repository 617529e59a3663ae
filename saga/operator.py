"""What operators do: each action checked, decided, written and audited in one transaction."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from saga import queries, store
from saga.access import Role
from saga.access.audit import Audit
from saga.circumstances import Circumstances
from saga.database import busy, committing
from saga.decide import allowed, why_not
from saga.definition import Saga
from saga.engine import Engine
from saga.errors import (
    AlreadySo,
    BadIntervention,
    BusinessKeyTaken,
    MovedSince,
    NotAllowedNow,
    SagaBusy,
    SagaNotFound,
)
from saga.followup import Followup, Publish
from saga.position import Intervened, Intervention, Outcome, Status
from saga.row import Row
from saga.signals import Received, receive
from saga.vouching import LONGEST_EVIDENCE, one_line, vouched_state

_LONGEST_ACTOR = 100


@dataclass(frozen=True, kw_only=True)
class Acted:
    """An action that is written down: where the saga stands after it."""

    saga_id: UUID
    status: Status
    version: int
    allowed: tuple[Intervention, ...]


class Operator:
    """Acts on an engine's sagas in the name of ``actor``, whose key has this ``role``, if any.

    Every action takes a ``reason`` and may take the ``version`` that the operator saw; without
    one it acts on the saga as it is. All raise SagaNotFound, MovedSince, NotAllowedNow, SagaBusy,
    BusinessKeyTaken (each with what is allowed), and BadIntervention for an input that can never
    be right; nothing is done then. What is done, or refused as things stand, is in the audit.
    """

    def __init__(self, engine: Engine, *, actor: str, role: Role | None = None) -> None:
        self._engine = engine
        self._actor = one_line("actor", actor, longest=_LONGEST_ACTOR)
        self._audit = Audit(database=engine.database, actor=self._actor, role=role)

    def retry(self, saga_id: UUID, *, reason: str, version: int | None = None) -> Acted:
        """Try what is in hand now; of a FAILED saga with fresh attempts and fresh time."""
        asked = Intervened(what=Intervention.RETRY)
        return self._act(saga_id, asked, reason=reason, version=version)

    def compensate(self, saga_id: UUID, *, reason: str, version: int | None = None) -> Acted:
        """Take back all that a FAILED saga did, past the pivot too; see ``preview``."""
        asked = Intervened(what=Intervention.COMPENSATE)
        return self._act(saga_id, asked, reason=reason, version=version)

    def cancel(self, saga_id: UUID, *, reason: str, version: int | None = None) -> Acted:
        """Let a RUNNING saga go back, as long as its pivot was not accepted.

        A call in hand ends first; should it be the pivot, and take effect, the saga goes forward.
        """
        asked = Intervened(what=Intervention.CANCEL)
        return self._act(saga_id, asked, reason=reason, version=version)

    def pause(self, saga_id: UUID, *, reason: str, version: int | None = None) -> Acted:
        """Let nothing be begun for the saga, and stop its clock; a call in hand ends first."""
        asked = Intervened(what=Intervention.PAUSE)
        return self._act(saga_id, asked, reason=reason, version=version)

    def resume(self, saga_id: UUID, *, reason: str, version: int | None = None) -> Acted:
        """Let a paused saga go on from where it stands."""
        asked = Intervened(what=Intervention.RESUME)
        return self._act(saga_id, asked, reason=reason, version=version)

    def resolve(
        self,
        saga_id: UUID,
        *,
        outcome: Outcome,
        evidence: str,
        reason: str,
        step: str | None = None,
        state: Mapping[str, Any] | None = None,
        version: int | None = None,
    ) -> Acted:
        """Write down what a person found out about a step of a FAILED saga, or about all of it.

        A step in hand that is done lets the saga go forward, one that is not done lets it go back.
        Without a ``step`` the saga ends COMPLETED or COMPENSATED. ``state`` is laid over what the
        saga remembers.
        """
        asked = Intervened(what=Intervention.RESOLVE, step=step, outcome=outcome)
        evidence = one_line("evidence", evidence, longest=LONGEST_EVIDENCE)
        detail = {"outcome": outcome.value, "evidence": evidence}
        return self._act(
            saga_id,
            asked,
            reason=reason,
            version=version,
            detail=detail | ({"step": step} if step else {}),
            state=state,
        )

    def pause_type(self, saga_type: str, *, reason: str, step: str | None = None) -> None:
        """Let nothing be begun for all sagas of a type, or at one step of it. Raises AlreadySo."""
        self._check_type(saga_type, step)
        said, what = one_line("reason", reason), _shown(saga_type, step)
        with self._audit.refusals(Intervention.PAUSE, target=what):
            with committing(self._engine.database) as connection:
                is_new = store.pause_type(
                    connection, saga_type=saga_type, step=step, actor=self._actor, reason=said
                )
                if is_new:
                    self._audit.note(connection, Intervention.PAUSE, target=what, why=said)
            if not is_new:
                raise AlreadySo(f"{what} is paused already")

    def resume_type(self, saga_type: str, *, reason: str, step: str | None = None) -> None:
        """End such a pause; recovery lets its sagas go on. Raises AlreadySo."""
        self._check_type(saga_type, step)
        said, what = one_line("reason", reason), _shown(saga_type, step)
        with self._audit.refusals(Intervention.RESUME, target=what):
            with committing(self._engine.database) as connection:
                was = store.resume_type(
                    connection, saga_type=saga_type, step=step, actor=self._actor, reason=said
                )
                if was:
                    self._audit.note(connection, Intervention.RESUME, target=what, why=said)
            if not was:
                raise AlreadySo(f"{what} is not paused")

    def signal(
        self,
        saga_id: UUID,
        name: str,
        payload: Mapping[str, Any],
        *,
        signal_id: str | None = None,
    ) -> Received:
        """Tell a saga something that a step waits for, or will. Raises what Engine.signal raises.

        The same ``signal_id`` is taken once, and audited once.
        """
        with (
            self._audit.refusals("signal", saga_id=saga_id, target=name),
            busy(saga_id),
            committing(self._engine.database) as connection,
        ):
            received, followup = receive(
                self._engine.runtime,
                connection,
                saga_id,
                name,
                payload,
                signal_id=signal_id,
                actor=self._actor,
            )
            if received.is_new:
                self._audit.note(connection, "signal", saga_id=saga_id, target=name)
        if isinstance(followup, Publish):
            self._engine.publish_or_leave(followup.publication)
        return received

    def _check_type(self, saga_type: str, step: str | None) -> None:
        known = [saga for saga in self._engine.registry if saga.name == saga_type]
        if not known:
            there_are = ", ".join(sorted({saga.name for saga in self._engine.registry}))
            raise BadIntervention("sagaType", f"{saga_type!r} is not known; there are: {there_are}")
        names = [one.name for saga in known for one in saga.steps]
        if step is not None and step not in names:
            raise BadIntervention("step", f"{step!r} is none of {', '.join(dict.fromkeys(names))}")

    def _act(
        self,
        saga_id: UUID,
        asked: Intervened,
        *,
        reason: str,
        version: int | None,
        detail: Mapping[str, Any] | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> Acted:
        because = one_line("reason", reason)
        said = {"asked": asked.what.value, "because": because, **(detail or {})}
        with (
            self._audit.refusals(asked.what, saga_id=saga_id, target=asked.step),
            self._telling(saga_id),
            committing(self._engine.database) as connection,
        ):
            row = queries.lock(connection, saga_id)
            if row is None:
                raise SagaNotFound(saga_id)
            saga = self._permit(row, asked, version)
            by = Circumstances(
                timing=self._engine.timing,
                in_chain=False,
                actor=self._actor,
                state=vouched_state(saga, row, asked, state),
                detail=said,
            )
            followup = self._settle(connection, saga, row, asked, by)
            stands = queries.lock(connection, saga_id)
            assert stands is not None, "its row is locked by us"
            self._audit.note(
                connection, asked.what, saga_id=saga_id, target=asked.step, why=because
            )
        if isinstance(followup, Publish):
            self._engine.publish_or_leave(followup.publication)
        return Acted(
            saga_id=saga_id,
            status=stands.status,
            version=stands.version,
            allowed=allowed(saga, stands),
        )

    @contextmanager
    def _telling(self, saga_id: UUID) -> Iterator[None]:
        """Let a refusal that speaks of the row's lock, or of its key, tell what is allowed."""
        try:
            with busy(saga_id):
                yield
        except (SagaBusy, BusinessKeyTaken) as refusal:
            with self._engine.database.connect() as connection:
                row = queries.look(connection, refusal.saga_id or saga_id)
            saga = None if row is None else self._definition(row)
            refusal.allowed = () if row is None or saga is None else allowed(saga, row)
            raise

    def _definition(self, row: Row) -> Saga[Any] | None:
        registry = self._engine.registry
        return registry.having(row.saga_type, row.definition_version, step=row.step)

    def _permit(self, row: Row, asked: Intervened, version: int | None) -> Saga[Any]:
        """The saga's definition, if the action is allowed on what the operator saw."""
        saga = self._definition(row)
        if saga is None:
            what = f"{row.saga_type} version {row.definition_version} is not known here"
            raise NotAllowedNow(row.saga_id, asked.what, row.status, what, ())
        may = allowed(saga, row)
        if version is not None and version != row.version:
            raise MovedSince(row.saga_id, version, row.version, row.status, may)
        steps = [step.name for step in saga.steps]
        if asked.step is not None and asked.step not in steps:
            raise BadIntervention("step", f"{asked.step!r} is none of {', '.join(steps)}")
        if (why := why_not(saga, row, asked.what, asked.step)) is not None:
            raise NotAllowedNow(row.saga_id, asked.what, row.status, why, may)
        return saga

    def _settle(
        self,
        connection: Connection,
        saga: Saga[Any],
        row: Row,
        asked: Intervened,
        by: Circumstances,
    ) -> Followup:
        try:
            return self._engine.runtime.settle(connection, saga, row, asked, by)
        except IntegrityError as error:
            key = row.business_key
            if key is None or "saga_state_business_key_of_open" not in str(error.orig):
                raise
        # What failed has ended our transaction: ask on another connection who is in the way.
        with self._engine.database.connect() as other:
            holder = queries.holder_of(other, key)
        saga_id, status = holder or (row.saga_id, row.status)
        raise BusinessKeyTaken(key, saga_id, has_failed=status is Status.FAILED)


def _shown(saga_type: str, step: str | None) -> str:
    return saga_type if step is None else step
