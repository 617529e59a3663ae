"""What a store does to an upload, and what becomes of it.

The first write begins an upload, the second one brings the bytes, the third one ends it.
"""

from typing import Any

_BEGUN = {"operation": "put", "kind": "slow", "seconds": 0}
TROUBLES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "down for a while": ("COMPLETED", [_BEGUN, {"operation": "put", "kind": "down", "times": 3}]),
    "down for good": ("COMPENSATED", [_BEGUN, {"operation": "put", "kind": "down", "times": 99}]),
    "down at the end": ("COMPENSATED", [{"operation": "complete", "kind": "down", "times": 99}]),
    "full for a while": ("COMPLETED", [_BEGUN, {"operation": "put", "kind": "full", "times": 2}]),
    "full for good": ("COMPENSATED", [_BEGUN, {"operation": "put", "kind": "full", "times": 99}]),
    "cut": ("COMPLETED", [{"operation": "put", "kind": "cut", "afterBytes": 2000, "times": 2}]),
    "slower than a lease": (
        "COMPLETED",
        [_BEGUN, {"operation": "put", "kind": "slow", "seconds": 4}],
    ),
    "our rights are taken": ("FAILED", [_BEGUN, {"operation": "put", "kind": "refused"}]),
    "other bytes": ("COMPLETED", [_BEGUN, {"operation": "put", "kind": "wrong"}]),
    "no answer": ("COMPLETED", [{"operation": "complete", "kind": "late", "seconds": 0.5}]),
    "not read back": (
        "COMPENSATED",
        [
            {"operation": "get", "kind": "slow", "seconds": 0},
            {"operation": "get", "kind": "error", "times": 99},
        ],
    ),
    "deaf when taken back": (
        "COMPENSATED",
        [
            {"operation": "complete", "kind": "error", "times": 99},
            {"operation": "delete", "kind": "down", "times": 3},
        ],
    ),
}
