"""Sagas as OpenAPI describes them; ``saga.views`` makes them."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from saga.definition import Role
from saga.position import Status
from saga.task import Effect

Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Shape(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


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
    allowed_actions: list[str]
    why: Annotated[str, Field(description="Where the saga stands and what would happen next.")]
