"""What a step is to its saga."""

from enum import StrEnum


class Role(StrEnum):
    COMPENSATABLE = "compensatable"
    PIVOT = "pivot"
    RETRIABLE = "retriable"
