"""How wide text is, and where it is broken into lines."""

import re
import unicodedata
from collections.abc import Callable, Iterator

# The widths of DejaVu's letters, in parts of the font's size: no common font is wider.
MONOSPACE = 0.605
_NARROW, _COMMON, _CAPITAL, _WIDE = 0.42, 0.63, 0.77, 1.0


def width(text: str, size: float, *, monospace: bool = False) -> float:
    """At most how wide the text is, in the unit of ``size``."""
    return size * sum(_letter(letter, monospace=monospace) for letter in text)


def _letter(letter: str, *, monospace: bool) -> float:
    if unicodedata.east_asian_width(letter) in {"W", "F"}:
        return _WIDE + 0.25 * monospace
    if monospace:
        return MONOSPACE
    if letter in "iljtfrI.,:;'|!()[]/ ·-":
        return _NARROW
    if letter in "mwMW@%—…":
        return _WIDE
    return _CAPITAL if letter.isupper() else _COMMON


def wrapped(text: str, *, fits: Callable[[str], bool], most: int) -> list[str]:
    """The text in at most ``most`` lines that fit; what is left over is an ellipsis.

    It is broken after a space, an underscore, a dot or a slash, within a word only where no other
    place is left.
    """
    lines: list[str] = []
    line = ""
    for piece in _pieces(" ".join(text.split()), fits):
        if line and not fits((line + piece).rstrip()):
            lines.append(line.rstrip())
            line = ""
            if len(lines) > most:
                break
        line += piece
    lines = [*lines, line.rstrip()] if line else lines
    if len(lines) <= most:
        return lines
    last = lines[most - 1]
    while last and not fits(f"{last}…"):
        last = last[:-1]
    return [*lines[: most - 1], f"{last.rstrip()}…"]


def _pieces(text: str, fits: Callable[[str], bool]) -> Iterator[str]:
    for word in re.findall(r"[^ _./]*[ _./]?", text):
        if fits(word.rstrip()):
            yield word
            continue
        piece = ""
        for letter in word:
            if piece and not fits(piece + letter):
                yield piece
                piece = ""
            piece += letter
        if piece:
            yield piece
