"""Ids of records as they come in URLs."""

_LONGEST = 100


def readable(record_id: str) -> str | None:
    """The id, if a record can have it at all; None says that none does."""
    odd = "\0" in record_id or len(record_id) > _LONGEST
    return None if odd else record_id


def shown(record_id: str) -> str:
    """The id as it may stand in an answer."""
    return record_id if len(record_id) <= _LONGEST else record_id[:_LONGEST] + "…"
