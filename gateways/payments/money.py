"""Amounts as providers write them (``"100.00"``) and as we count them (10000 fen)."""

import re
from decimal import Decimal, InvalidOperation

_PLAIN = re.compile(r"[0-9]{1,12}(\.[0-9]{1,2})?")


def to_minor(text: str) -> int:
    """Return the amount in fen: ``to_minor("100.00") == 10000``.

    Plain digits with at most two decimals, up to 12 digits before the point.
    Raises ValueError that says what is wrong with anything else.
    """
    if _PLAIN.fullmatch(text):
        return int(Decimal(text).scaleb(2))
    raise ValueError(f"{text[:40]!r} {_fault(text)}")


def from_minor(amount_minor: int) -> str:
    """Return the amount as a provider writes it: ``from_minor(10000) == "100.00"``."""
    if amount_minor < 0:
        raise ValueError(f"{amount_minor} fen is negative")
    return f"{amount_minor // 100}.{amount_minor % 100:02d}"


def _fault(text: str) -> str:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return "is not an amount"
    if not amount.is_finite():
        return "is not a finite amount"
    if amount < 0:
        return "is negative"
    if amount.adjusted() > 11:  # noqa: PLR2004 - the pattern's 12 digits
        return "is too large: at most 12 digits before the point"
    if re.fullmatch(r"[0-9]+\.[0-9]{3,}", text):
        return "has more than two decimals"
    return "is not an amount in plain digits such as 100.00"
