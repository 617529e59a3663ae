"""Sagas as OpenAPI describes them; ``saga.views`` makes them."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt
from pydantic.alias_generators import to_camel

from saga.definition import Role
from saga.position import Intervention, Outcome, Status
from saga.task import Effect
from saga.vouching import LONGEST_EVIDENCE, LONGEST_REASON

Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Shape(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Given(Shape):
    """What comes in: a field that is misspelt must not be as good as none."""

    model_config = ConfigDict(extra="forbid")


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain U+0000")
    return text


Text = Annotated[str, AfterValidator(_no_nul)]
Reason = Annotated[
    str,
    Field(
        min_length=1, max_length=LONGEST_REASON, description="Why; it stands in the saga's events."
    ),
    AfterValidator(_no_nul),
]


class SagaShape(Shape):
    saga_id: Annotated[str, Field(json_schema_extra={"format": "uuid"})]
    saga_type: str
    status: Status
    current_step: str
    step_index: int
    retry_count: int
    max_retries: int
    business_key: str | None
    version: Annotated[int, Field(description="Rises with every transition.")]
    error_message: str | None
    started_at: Instant
    timeout_at: Instant
    completed_at: Instant | None


class SagaPage(Shape):
    items: list[SagaShape]
    next_cursor: Annotated[str | None, Field(description="Null on the last page.")]


class SagaCounts(Shape):
    counts: Annotated[
        dict[str, dict[str, int]], Field(description="By saga type, then status; none is no entry.")
    ]
    since: Annotated[Instant, Field(description="Those at rest are counted from this start on.")]


class StepShape(Shape):
    name: str
    role: Annotated[Role | None, Field(description="Null in a definition unknown here.")]
    effect: Effect
    attempts: int


class EventShape(Shape):
    seq: int
    at: Instant
    kind: str
    step: str | None
    attempt: int | None
    worker: str | None
    task_id: str | None
    actor: str | None
    duration: Annotated[float | None, Field(description="Seconds.")]
    detail: dict[str, Any]


class SagaDetail(Shape):
    saga: SagaShape
    steps: list[StepShape]
    events: list[EventShape]
    allowed_actions: Annotated[list[Intervention], Field(description="What may be done to it.")]
    why: Annotated[str, Field(description="Where the saga stands and what would happen next.")]


class AuditEntry(Shape):
    at: Instant
    actor: Annotated[str | None, Field(description="A key's name or a login name.")]
    role: Literal["producer", "viewer", "operator", "admin"] | None
    action: str
    target: Annotated[str | None, Field(description="A saga type, a step, a key, a path.")]
    saga_id: str | None
    outcome: Literal["done", "refused"]
    why: str | None


class AuditPage(Shape):
    items: list[AuditEntry]
    next_cursor: Annotated[str | None, Field(description="Null on the last page.")]


class RunShape(Shape):
    step: str
    compensation: Annotated[str | None, Field(description="The task that a worker runs.")]
    by: Literal["worker", "person"]
    advice: Annotated[str | None, Field(description="What a person is told.")]
    effect: Annotated[Effect, Field(description="What is known of the step by then.")]


class EffectShape(Shape):
    step: str
    role: Role | None
    effect: Effect


class PreviewShape(Shape):
    saga_id: str
    status: Status
    version: int
    action: Annotated[
        Intervention | None, Field(description="Compensate, or cancel where it is RUNNING.")
    ]
    allowed: bool
    why_not: str | None
    runs: Annotated[list[RunShape], Field(description="In this order, as long as each succeeds.")]
    effects: list[EffectShape]
    ends: Annotated[Status | None, Field(description="Where it comes to without any person.")]
    then: Annotated[str | None, Field(description="All that in plain words.")]


class Asked(Given):
    reason: Reason
    version: Annotated[StrictInt, Field(ge=1, description="The saga's, as you saw it.")]


class Resolution(Asked):
    outcome: Outcome
    evidence: Annotated[
        Text,
        Field(min_length=1, max_length=LONGEST_EVIDENCE, description="How you know."),
    ]
    step: Annotated[str | None, Field(description="Null: the whole saga.")] = None
    state: Annotated[
        dict[str, Any] | None,
        Field(description="Laid over what the saga remembers, where its step in hand is done."),
    ] = None


class PauseAsked(Given):
    saga_type: str
    step: Annotated[str | None, Field(description="Null: the whole type.")] = None
    reason: Reason


class PauseSet(Shape):
    saga_type: str
    step: str | None
    paused: bool


class PauseShape(Shape):
    saga_type: str
    step: str | None
    at: Instant
    actor: str
    reason: str


class PauseList(Shape):
    items: list[PauseShape]


class SignalAsked(Given):
    signal_id: Annotated[
        Text, Field(min_length=1, max_length=255, description="The same one is taken once.")
    ]
    payload: dict[str, Any] = {}


class SignalTaken(Shape):
    saga_id: str
    signal_id: str
    new: Annotated[bool, Field(description="False where it had come before.")]
