"""Producers' endpoints for devices: create one, look at it, delete it; and users' quotas."""

from typing import Annotated

from fastapi import APIRouter, Header, Path
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel
from sqlalchemy.orm import Session

from api.ids import readable, shown
from models import DeviceView, QuotaView
from saga import Engine
from saga.access import Permission
from saga.api import Caller, ExactRoute, answers, needs
from workflows import (
    DeviceDeletionInput,
    DeviceInput,
    DeviceNotFound,
    QuotaNotFound,
    creation,
    deletion,
    find_device,
    quota_of,
    request_deletion,
    request_device,
)

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="The same key and body give the same saga; another body is refused.",
    ),
]


class DeviceAccepted(BaseModel):
    """The device is in the hands of this saga; ``device`` is the record as it is now.

    It is null when the same key is sent again after the saga ended without a device.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    saga_id: str
    device: DeviceView | None


def router(engine: Engine) -> APIRouter:
    routes = APIRouter(tags=["devices"], route_class=ExactRoute)
    starts, reads = [needs(Permission.START)], [needs(Permission.READ)]

    @routes.post(
        "/api/devices",
        status_code=202,
        responses=answers(409, 413, 422),
        dependencies=starts,
        openapi_extra={"x-saga-type": creation.name},
    )
    def create_device(
        asked: DeviceInput, principal: Caller, idempotency_key: IdempotencyKey = None
    ) -> DeviceAccepted:
        """Create a device. It is ``idle``, and answers adb, when its saga is COMPLETED.

        409 when the user's quota does not allow it as it is now. Of several that ask for the last
        one at once, all but one may be accepted, and end COMPENSATED.
        """
        with Session(engine.database, info=principal.info) as session, session.begin():
            started = request_device(engine, session, asked, idempotency_key)
            view = find_device(session, str(started.saga_id))
        return DeviceAccepted(saga_id=str(started.saga_id), device=view)

    @routes.get("/api/devices/{id}", responses=answers(404), dependencies=reads)
    def show_device(device_id: Annotated[str, Path(alias="id")]) -> DeviceView:
        """A device as it is now; ``creating`` until its saga is COMPLETED."""
        with Session(engine.database) as session:
            found = find_device(session, device_id)
        if found is None:
            raise DeviceNotFound(shown(device_id))
        return found

    @routes.delete(
        "/api/devices/{id}",
        status_code=202,
        responses=answers(404, 409, 422),
        dependencies=starts,
        openapi_extra={"x-saga-type": deletion.name},
    )
    def delete_device(
        device_id: Annotated[str, Path(alias="id")],
        principal: Caller,
        idempotency_key: IdempotencyKey = None,
    ) -> DeviceAccepted:
        """Delete a device: it is gone when its saga is COMPLETED; under way already is fine.

        409 while it is being created, or when its deletion waits for a person; ``sagaId`` names
        that saga.
        """
        with Session(engine.database, info=principal.info) as session, session.begin():
            asked = _deletion(device_id)
            started = request_deletion(engine, session, asked, idempotency_key)
            view = find_device(session, str(asked.device_id))
        return DeviceAccepted(saga_id=str(started.saga_id), device=view)

    @routes.get("/api/users/{userId}/quota", responses=answers(404), dependencies=reads)
    def show_quota(user_id: Annotated[str, Path(alias="userId")]) -> QuotaView:
        """What a user may have of devices, and what is taken of it."""
        if not readable(user_id):
            raise QuotaNotFound(shown(user_id))
        with Session(engine.database) as session:
            return quota_of(session, user_id)

    return routes


def _deletion(device_id: str) -> DeviceDeletionInput:
    """What is asked of the device of this id. Raises DeviceNotFound."""
    try:
        return DeviceDeletionInput.model_validate({"device_id": device_id})
    except ValidationError:
        raise DeviceNotFound(shown(device_id)) from None
