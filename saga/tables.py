"""The engine's tables as SQLAlchemy knows them: for queries, and to compare migrations with.

Rules (CHECK constraints, partial indexes) stand in ``saga.schema``.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from saga.schema.step_3 import ERROR_CLASS

metadata = MetaData()

_INSTANT = DateTime(timezone=True)

saga_state = Table(
    "saga_state",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("saga_id", Uuid, nullable=False),
    Column("saga_type", Text, nullable=False),
    Column("definition_version", Integer, nullable=False),
    Column("current_step", Text, nullable=False),
    Column("step_index", Integer, nullable=False),
    Column("state", JSONB, nullable=False),
    Column("effects", JSONB, nullable=False, server_default="{}"),
    Column("status", Text, nullable=False),
    Column("error_message", Text),
    Column("retry_count", Integer, nullable=False, server_default="0"),
    Column("max_retries", Integer, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("version", BigInteger, nullable=False, server_default="1"),
    Column("epoch", Integer, nullable=False, server_default="1"),
    Column("dispatches", Integer, nullable=False, server_default="0"),
    Column("claimed_by", Uuid),
    Column("claim_deadline", _INSTANT),
    Column("call_ended_at", _INSTANT),
    Column("wake_at", _INSTANT),
    Column("not_before", _INSTANT),
    Column("waiting_for", Text),
    Column("stop_reason", Text),
    Column("look_at", Text),
    Column("looks", Integer, nullable=False, server_default="0"),
    Column("overdue", Boolean, nullable=False, server_default=text("false")),
    Column("unknown_since", _INSTANT),
    Column("signal", Text),
    Column("polls", Integer, nullable=False, server_default="0"),
    Column("generations", JSONB, nullable=False, server_default="{}"),
    Column("paused", Text),
    Column("paused_at", _INSTANT),
    Column("failed_from", Text),
    Column("business_key", Text),
    Column("holds_key", Boolean, nullable=False, server_default=text("true")),
    Column("idempotency_key", Text),
    Column("input_hash", Text),
    Column("timeout_at", _INSTANT, nullable=False),
    Column("started_at", _INSTANT, nullable=False),
    Column("completed_at", _INSTANT),
    Column("created_at", _INSTANT, nullable=False),
    Column("updated_at", _INSTANT, nullable=False),
    Column("metadata", JSONB, nullable=False, server_default="{}"),
    UniqueConstraint("saga_id", name="saga_state_saga_id_key"),
)

_c = saga_state.c
Index(
    "saga_state_idempotency_key",
    _c.saga_type,
    _c.idempotency_key,
    unique=True,
    postgresql_where=_c.idempotency_key.is_not(None),
)
Index(
    "saga_state_business_key_of_open",
    _c.business_key,
    unique=True,
    postgresql_where=_c.holds_key,
)
Index("saga_state_due", _c.wake_at, postgresql_where=_c.wake_at.is_not(None))
Index("saga_state_by_age", _c.created_at)
_standing = (_c.status, _c.saga_type, _c.current_step)
_newest_first = (_c.created_at.desc().nulls_last(), _c.id.desc().nulls_last())
Index(
    "saga_state_open",
    *_standing,
    *_newest_first,
    postgresql_where=_c.completed_at.is_(None),
)
Index(
    "saga_state_at_rest",
    *_standing,
    *_newest_first,
    postgresql_where=_c.completed_at.is_not(None),
)
Index("saga_state_by_key", _c.business_key, *_newest_first, postgresql_where=~_c.holds_key)
Index(
    "saga_state_by_error",
    text(ERROR_CLASS),
    *_standing,
    *_newest_first,
    postgresql_where=_c.error_message.is_not(None),
)
Index(
    "saga_state_retrying",
    *_standing,
    _c.retry_count,
    *_newest_first,
    postgresql_where=text("retry_count > 0 AND status IN ('RUNNING', 'COMPENSATING')"),
)
Index(
    "saga_state_paused",
    *_standing,
    *_newest_first,
    postgresql_where=_c.paused.is_not(None),
)

saga_event = Table(
    "saga_event",
    metadata,
    Column("saga_id", Uuid, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", _INSTANT, nullable=False),
    Column("kind", Text, nullable=False),
    Column("step", Text),
    Column("attempt", Integer),
    Column("epoch", Integer, nullable=False),
    Column("task_id", Text),
    Column("worker", Text),
    Column("duration", Interval),
    Column("actor", Text),
    Column("detail", JSONB, nullable=False, server_default="{}"),
)

saga_signal = Table(
    "saga_signal",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("saga_id", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("signal_id", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("actor", Text),
    Column("received_at", _INSTANT, nullable=False),
    Column("consumed_at", _INSTANT),
    UniqueConstraint("saga_id", "signal_id", name="saga_signal_signal_id_key"),
)
Index(
    "saga_signal_unconsumed",
    saga_signal.c.saga_id,
    saga_signal.c.name,
    saga_signal.c.id,
    postgresql_where=saga_signal.c.consumed_at.is_(None),
)

saga_pause = Table(
    "saga_pause",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("saga_type", Text, nullable=False),
    Column("step", Text),
    Column("at", _INSTANT, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("resumed_at", _INSTANT),
    Column("resumed_by", Text),
    Column("resume_reason", Text),
    Column("lifted_at", _INSTANT),
)
_p = saga_pause.c
Index(
    "saga_pause_of_type",
    _p.saga_type,
    unique=True,
    postgresql_where=_p.resumed_at.is_(None) & _p.step.is_(None),
)
Index(
    "saga_pause_of_step",
    _p.saga_type,
    _p.step,
    unique=True,
    postgresql_where=_p.resumed_at.is_(None) & _p.step.is_not(None),
)

saga_key = Table(
    "saga_key",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", _INSTANT),
    Column("revoked_at", _INSTANT),
    Column("revoked_by", Text),
    UniqueConstraint("digest", name="saga_key_digest_key"),
)

saga_audit = Table(
    "saga_audit",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", _INSTANT, nullable=False),
    Column("actor", Text),
    Column("role", Text),
    Column("action", Text, nullable=False),
    Column("target", Text),
    Column("saga_id", Uuid),
    Column("outcome", Text, nullable=False),
    Column("why", Text),
)
Index("saga_audit_by_age", saga_audit.c.at)

saga_pulse = Table(
    "saga_pulse",
    metadata,
    Column("name", Text, primary_key=True),
    Column("at", _INSTANT, nullable=False),
    Column("detail", JSONB, nullable=False, server_default="{}"),
)

saga_schema = Table(
    "saga_schema",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("at", _INSTANT),
)
