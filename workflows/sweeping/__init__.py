"""What lies in staging and in the object store and nobody owns: found, told of, and removed."""

from workflows.sweeping.judgement import Kind, Thing, Verdict
from workflows.sweeping.sources import Inventory, Source, SourceAway
from workflows.sweeping.sweeper import (
    GRACE,
    LIMIT,
    SWEEP,
    TOLD_OF,
    Finding,
    Removal,
    Sweeper,
    Swept,
)
from workflows.sweeping.tidying import LIMIT as TIDY_LIMIT
from workflows.sweeping.tidying import TIDY, Tidier

__all__ = [
    "GRACE",
    "LIMIT",
    "SWEEP",
    "TIDY",
    "TIDY_LIMIT",
    "TOLD_OF",
    "Finding",
    "Inventory",
    "Kind",
    "Removal",
    "Source",
    "SourceAway",
    "Sweeper",
    "Swept",
    "Thing",
    "Tidier",
    "Verdict",
]
