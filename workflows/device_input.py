"""What producers ask of devices."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel

from models import Specification
from workflows.texts import LINE

_NAME = StringConstraints(min_length=1, max_length=100, strip_whitespace=True)


class DeviceInput(Specification):
    """A device to be created, for a user who has a quota."""

    user_id: Annotated[str, _NAME, LINE]
    name: Annotated[str, _NAME, LINE]

    @property
    def specification(self) -> Specification:
        return Specification(**self.model_dump(include=set(Specification.model_fields)))


class DeviceDeletionInput(BaseModel):
    """A device to be deleted."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    device_id: UUID
