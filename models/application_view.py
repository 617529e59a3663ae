"""An application as all faces tell it."""

from typing import Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from models.app_upload_state import AppUploadState
from models.application import Application, ApplicationStatus


class ApplicationView(BaseModel):
    """One version of an application; in JSON its names are camelCase."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, from_attributes=True
    )

    id: str
    package_name: str
    version_code: int
    version_name: str
    name: str
    description: str
    tags: list[str]
    min_sdk: int
    target_sdk: int
    size_bytes: int
    sha256: str
    status: str
    is_latest: bool

    @classmethod
    def of(cls, application: Application) -> Self:
        return cls.model_validate(application)

    @classmethod
    def to_be(cls, state: AppUploadState) -> Self:
        """What is being uploaded, while it has no record."""
        return cls(
            id=state.app_id,
            status=ApplicationStatus.UPLOADING,
            is_latest=False,
            **state.model_dump(exclude={"app_id", "object_key"}),
        )
