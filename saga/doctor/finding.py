"""What a check comes to."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self


class Level(StrEnum):
    """``bad`` breaks the promise, now or at the next accident; ``warn`` wants to be looked at."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One check: what was seen and, unless all is well, what to do."""

    name: str
    level: Level
    detail: str
    advice: str = ""

    @classmethod
    def ok(cls, name: str, detail: str) -> Self:
        return cls(name=name, level=Level.OK, detail=detail)

    @classmethod
    def warn(cls, name: str, detail: str, advice: str) -> Self:
        return cls(name=name, level=Level.WARN, detail=detail, advice=advice)

    @classmethod
    def bad(cls, name: str, detail: str, advice: str) -> Self:
        return cls(name=name, level=Level.BAD, detail=detail, advice=advice)

    def as_json(self) -> dict[str, Any]:
        """``ok`` is false for what is bad only."""
        return {
            "name": self.name,
            "ok": self.level is not Level.BAD,
            "level": self.level.value,
            "detail": self.detail,
            "advice": self.advice,
        }
