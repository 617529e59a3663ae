"""What people may write into a field, whoever asks for it."""

import re
import unicodedata
from typing import Any

from pydantic import BeforeValidator

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


LINE = BeforeValidator(_line)
"""One line; what spaces it at its ends is to be stripped by the field itself."""
LINES = BeforeValidator(_lines)
