"""What a device is to be made of, and within which bounds."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Specification(BaseModel):
    """The size of a device, as its user asks for it; megabytes are of 1024 kilobytes."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )

    cpu: Annotated[int, Field(strict=True, ge=1, le=16)] = 2
    memory_mb: Annotated[int, Field(strict=True, ge=512, le=32_768)] = 4096
    storage_mb: Annotated[int, Field(strict=True, ge=1024, le=1_048_576)] = 10_240
    width: Annotated[int, Field(strict=True, ge=240, le=4096)] = 1920
    height: Annotated[int, Field(strict=True, ge=240, le=4096)] = 1080
    dpi: Annotated[int, Field(strict=True, ge=120, le=640)] = 240
    android_version: Literal[11, 12, 13] = 11
