"""What lies somewhere and nobody owns: found, told of, and removed."""

from workflows.sweeping.judgement import Kind, Thing, Verdict
from workflows.sweeping.late_containers import CONTAINERS_LIMIT, TIDY_CONTAINERS, LateContainers
from workflows.sweeping.source import Inventory, Source, SourceAway
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
    "CONTAINERS_LIMIT",
    "GRACE",
    "LIMIT",
    "SWEEP",
    "TIDY",
    "TIDY_CONTAINERS",
    "TIDY_LIMIT",
    "TOLD_OF",
    "Finding",
    "Inventory",
    "Kind",
    "LateContainers",
    "Removal",
    "Source",
    "SourceAway",
    "Sweeper",
    "Swept",
    "Thing",
    "Tidier",
    "Verdict",
]
