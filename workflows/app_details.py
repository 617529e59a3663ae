"""What a producer says of an application beside its file."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from workflows.texts import LINE, LINES

_NAME = StringConstraints(min_length=1, max_length=100, strip_whitespace=True)
_TAG = StringConstraints(min_length=1, max_length=50, strip_whitespace=True)
_DESCRIPTION = StringConstraints(max_length=1000, strip_whitespace=True)


class AppDetails(BaseModel):
    """What people are told of an application beside what its file says."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    name: Annotated[str, _NAME, LINE]
    description: Annotated[str, _DESCRIPTION, LINES] = ""
    tags: Annotated[list[Annotated[str, _TAG, LINE]], Field(max_length=10)] = []


class AppInput(AppDetails):
    """What ``saga start`` is asked: ``file`` is the path of an APK, which is copied."""

    file: Annotated[str, Field(min_length=1, max_length=4096), LINE]
