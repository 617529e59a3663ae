"""Start a saga, run one of its tasks, send its compensations: what producers and workers call.

The engine decides with ``decide``, writes with ``store``, and returns what is to be done after the
commit. It knows PostgreSQL and a way to publish, nothing of Celery.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import structlog
from pydantic import BaseModel
from sqlalchemy import Connection
from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from saga import queries, store
from saga.access import ACTOR
from saga.call import Call
from saga.crashpoints import around
from saga.database import busy, committing
from saga.definition import Saga
from saga.errors import BusinessKeyTaken, DefinitionError, IdempotencyKeyReused, StartError
from saga.followup import BrokerAway, Drop, Followup, Publication, Publish, Publisher
from saga.late_success import take_note
from saga.logs import log_error
from saga.outbox import after_commit
from saga.position import Status
from saga.registry import Registry
from saga.routing import publication
from saga.row import Row
from saga.runtime import Delivery, Runtime
from saga.signals import Received, receive
from saga.store import Record
from saga.task import Transactional, TransactionalCompensation
from saga.timing import Timing
from saga.transaction import Transaction
from saga.waiting import S

log = structlog.get_logger("saga")


@dataclass(frozen=True, kw_only=True)
class Started:
    """A saga that stands in the database. ``is_new`` is False for a repeated idempotency key."""

    saga_id: UUID
    status: Status
    is_new: bool


class Engine:
    """Durable sagas over one PostgreSQL database.

    ``sagas`` are all definitions, older versions included, that this process may meet. Raises
    DefinitionError when two of them contradict each other.
    """

    def __init__(
        self,
        *,
        database: Database,
        sagas: Iterable[Saga[Any]],
        publisher: Publisher,
        timing: Timing | None = None,
    ) -> None:
        self.database = database
        self.registry = Registry(sagas)
        self.publisher = publisher
        self.timing = timing or Timing()
        self.runtime = Runtime(database=database, registry=self.registry, timing=self.timing)

    def start(
        self,
        session: Session,
        saga: Saga[S],
        state: S,
        *,
        idempotency_key: str | None = None,
        business_key: str | None = None,
        saga_id: UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
        actor: str | None = None,
        asked: BaseModel | None = None,
    ) -> Started:
        """Start a saga inside the caller's own transaction; it is published after the commit.

        The same idempotency key with the same state gives the same saga again; or with the same
        ``asked``, where a state is never the same twice. When the broker is away the saga is
        started all the same, and recovery publishes it. ``actor`` is in whose name; else the
        session's ``info[ACTOR]`` says it. Raises IdempotencyKeyReused,
        BusinessKeyTaken, a StartError when another saga has ``saga_id``, or DefinitionError for a
        saga that this engine was not given.
        """
        if not self.registry.knows(saga):
            raise DefinitionError(saga.name, ["this engine was not given it; see Engine(sagas=…)"])
        connection = session.connection()
        values = state.model_dump(mode="json")
        digest = _digest((asked or state).model_dump(mode="json"))
        by = actor or session.info.get(ACTOR)
        while True:
            row = store.insert(
                connection,
                Record(kind="started", actor=by, detail={"businessKey": business_key}),
                saga_id=saga_id or uuid4(),
                saga_type=saga.name,
                definition_version=saga.version,
                step=saga.steps[0].name,
                max_retries=saga.steps[0].retry.retries,
                state=values,
                metadata=metadata or {},
                business_key=business_key,
                idempotency_key=idempotency_key,
                input_hash=digest,
                timeout=saga.timeout,
                patience=self.timing.patience,
            )
            if row is not None:
                break
            # Whoever holds a key may come to rest between our two statements: then try again.
            before = self._earlier(connection, saga, digest, idempotency_key, business_key)
            if before is not None:
                return before
            if saga_id is not None and queries.exists(connection, saga_id):
                raise StartError(f"another saga has the id {saga_id} already")
        first = publication(saga, row)
        after_commit(session, lambda: self.publish_or_leave(first))
        return Started(saga_id=row.saga_id, status=row.status, is_new=True)

    def earlier(
        self,
        session: Session,
        saga: Saga[S],
        state: S,
        *,
        idempotency_key: str | None,
        business_key: str | None,
        asked: BaseModel | None = None,
    ) -> Started | None:
        """The saga that this idempotency key, and state or ``asked``, started before, if any.

        For producers that check more than keys, before they do; ``start`` asks it again under any
        race. Raises IdempotencyKeyReused, or BusinessKeyTaken when another saga is at work.
        """
        digest = _digest((asked or state).model_dump(mode="json"))
        connection = session.connection()
        return self._earlier(connection, saga, digest, idempotency_key, business_key)

    def _earlier(
        self,
        connection: Connection,
        saga: Saga[Any],
        digest: str,
        idempotency_key: str | None,
        business_key: str | None,
    ) -> Started | None:
        own, holder = queries.before(
            connection, saga.name, idempotency_key=idempotency_key, business_key=business_key
        )
        if own is not None and idempotency_key is not None:
            if own.input_hash != digest:
                raise IdempotencyKeyReused(idempotency_key, own.saga_id)
            return Started(saga_id=own.saga_id, status=own.status, is_new=False)
        if holder is not None and business_key is not None:
            has_failed = holder.status is Status.FAILED
            raise BusinessKeyTaken(business_key, holder.saga_id, has_failed=has_failed)
        return None

    def signal(
        self,
        session: Session,
        saga_id: UUID,
        name: str,
        payload: BaseModel | Mapping[str, Any],
        *,
        signal_id: str | None = None,
        actor: str | None = None,
    ) -> Received:
        """Tell a saga something inside the caller's own transaction; early or late is the same.

        What waits for it goes on after the commit; else it stays until a step begins to wait. The
        same ``signal_id`` is taken once; without one, each call is another signal. Signal before
        you lock what steps lock, too: they have the saga's row first. Raises
        SagaNotFound, SagaIsOver, SagaBusy, BadSignal for a name, payload or id that cannot be, or
        NotAllowedNow where this process does not know the saga's definition.
        """
        with busy(saga_id):
            received, followup = receive(
                self.runtime,
                session.connection(),
                saga_id,
                name,
                payload,
                signal_id=signal_id,
                actor=actor,
            )
        if isinstance(followup, Publish):
            wakes = followup.publication
            after_commit(session, lambda: self.publish_or_leave(wakes))
        return received

    def late_success(
        self, session: Session, saga_id: UUID, *, key: str, actor: str | None = None
    ) -> bool:
        """Tell a saga from outside that the step of this idempotency key took effect after all.

        Only what is verified, such as a provider's signed callback. Written inside the caller's
        own transaction, and published by nobody: a saga that had gone back, or rests so, is FAILED
        with an alarm; one that is under way finds out by itself. Also of an earlier generation of
        the key. False: it says nothing new, and nothing is written; so for a repeat. Raises
        SagaNotFound, SagaBusy, BadKey, or NotAllowedNow where the definition is unknown here, and
        IntegrityError where another saga takes the business key just now: tell it again.
        """
        with busy(saga_id):
            return take_note(self.runtime, session.connection(), saga_id, key=key, actor=actor)

    def run(self, task: str, saga_id: UUID, *, epoch: int, delivery: Delivery) -> Followup:
        """Do what a message asks, if it may; say what follows.

        Raises what a step cannot mean to raise (SystemExit and the like); every other error is
        recorded and comes back as a followup.
        """
        place = self.registry.places[task]
        match place.work:
            case Transactional() | TransactionalCompensation():
                return Transaction(self.runtime, place, saga_id, epoch, delivery).run()
            case _:
                return Call(self.runtime, place, saga_id, epoch, delivery).run()

    def send_compensations(self, saga_id: UUID) -> Followup:
        """Publish the compensations of a saga that just turned back, unless that was done.

        What ``link_error`` calls: it proves nothing, so the row is read again, and it may come
        twice, late, or never.
        """
        with committing(self.database) as connection:
            row = queries.lock(connection, saga_id)
            if row is None:
                return Drop("unknown saga")
            saga = self.registry.find(row.saga_type, row.definition_version)
            turned = row.status is Status.COMPENSATING and not row.claimed and row.dispatches == 0
            # A compensation that waits for its retry was sent long ago.
            if saga is None or not turned or row.not_before is not None:
                return Drop("not turned back, or sent already")
            sent = self._sent(connection, row)
            return Publish(publication(saga, sent)) if sent is not None else Drop("moved")

    def publish(self, chain: Publication) -> None:
        """Hand a chain to the broker, once what it says is committed. Raises BrokerAway."""
        with around("publish"):
            self.publisher.publish(chain)

    def _sent(self, connection: Connection, row: Row) -> Row | None:
        return store.dispatch(
            connection,
            row,
            Record(kind="dispatched", actor="link_error"),
            patience=self.timing.patience,
            effects={},
            overdue=False,
            raise_epoch=0,
            call_ended_at=None,
            error=None,
        )

    def publish_or_leave(self, chain: Publication) -> None:
        """Hand a chain to the broker, or leave it to recovery: what it says is committed."""
        try:
            self.publish(chain)
        except BrokerAway as away:
            log.warning(
                "broker away, recovery will publish", saga_id=str(chain.saga_id), why=str(away)
            )
        except Exception as error:  # noqa: BLE001
            # The caller's commit stands. An error here would look as if it did not.
            log_error(log, "not published, recovery will", error, saga_id=str(chain.saga_id))


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
