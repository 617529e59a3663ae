"""What a producer says of an application beside its file."""

import re
import unicodedata
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

# Control characters, and halves of characters, which no JSON can hold.
_UNPRINTABLE = frozenset({"Cc", "Cs"})
_SPACING = "\n\r\t"


def _is_printable(text: str) -> bool:
    return not any(unicodedata.category(char) in _UNPRINTABLE for char in text)


def _line(value: Any) -> Any:
    if isinstance(value, str) and not _is_printable(value.strip(f" {_SPACING}")):
        raise ValueError("must be one line without control characters")
    return value


def _lines(value: Any) -> Any:
    if isinstance(value, str) and not _is_printable(re.sub(f"[{_SPACING}]", "", value)):
        raise ValueError("must not contain control characters")
    return value


_NAME = StringConstraints(min_length=1, max_length=100, strip_whitespace=True)
_TAG = StringConstraints(min_length=1, max_length=50, strip_whitespace=True)
_DESCRIPTION = StringConstraints(max_length=1000, strip_whitespace=True)
_LINE = BeforeValidator(_line)
_LINES = BeforeValidator(_lines)


class AppDetails(BaseModel):
    """What people are told of an application beside what its file says."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    name: Annotated[str, _NAME, _LINE]
    description: Annotated[str, _DESCRIPTION, _LINES] = ""
    tags: Annotated[list[Annotated[str, _TAG, _LINE]], Field(max_length=10)] = []


class AppInput(AppDetails):
    """What ``saga start`` is asked: ``file`` is the path of an APK, which is copied."""

    file: Annotated[str, Field(min_length=1, max_length=4096), _LINE]
