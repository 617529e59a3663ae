"""Steps as people name them: short, without their saga's name."""

from collections.abc import Iterable


def whole(given: str, names: Iterable[str]) -> str:
    """The one step whose name is, or ends in, what was given; else that itself, to be refused."""
    known = tuple(dict.fromkeys(names))
    if given in known:
        return given
    meant = [name for name in known if name.endswith(f".{given}")]
    return meant[0] if len(meant) == 1 else given
