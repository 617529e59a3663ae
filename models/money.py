"""Money as the faces tell it."""


def decimal_text(amount_minor: int) -> str:
    """Give an amount that is not negative with two decimals: ``decimal_text(1050) == "10.50"``."""
    whole, part = divmod(amount_minor, 100)
    return f"{whole}.{part:02d}"
