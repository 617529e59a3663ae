"""Hides the values of a saga's sensitive fields: under their names, and wherever else they stand.

Pure. What was never in a field is not known as sensitive: a text made from it, such as a sum or a
part from its middle, is not hidden.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Self
from urllib.parse import quote, quote_plus

from saga.circumstances import gist, plain
from saga.definition import Saga
from saga.errors import NeedsPerson, Refused, SagaFailed, StepFailed, TryAgain

MASK = "***"

# A shorter value is hidden where it is a word of its own: else "he" would leave little of a text.
_ANYWHERE = 4
# So much of the beginning of a long value gives it away, and so it is hidden, too.
_HEAD = 24
# Beyond these no text is looked through any more: it is hidden as a whole.
_MOST_VALUES = 500
_DEEPEST = 40
# Of longer values there are none in addresses, in the text of bytes and the like.
_LONGEST_WRITTEN_ANEW = 2_000
# Texts are cut where one of these stands: of what was cut, the rest may still be a value's.
_CUTS = ("…", "...")
_MOST_CUTS = 4
# So little before or behind a cut tells nothing, and may be any word's.
_LEAST = 3

# From here on PostgreSQL quotes the statement and the rows, other people's among them.
_QUOTES = re.compile(r"(?<=\s)(LINE \d+|DETAIL|CONTEXT): .*", re.DOTALL)

# What events say in the definition's and the engine's own words, and which call or key they mean.
_OUR_WORDS = frozenset(
    {"task", "probe", "signal", "step", "compensated", "effect", "outcome", "asked", "what"}
    | {"businessKey", "claim", "key", "signalId"}
)


@dataclass(frozen=True, kw_only=True)
class Mask:
    """What is hidden of one saga. ``hides_all``: every text, for nobody knows what is sensitive."""

    fields: frozenset[str] = frozenset()
    written: tuple[str, ...] = field(default=(), repr=False)
    hides_all: bool = False

    @classmethod
    def of(
        cls,
        saga: Saga[Any] | None,
        state: Mapping[str, Any],
        *earlier: Mapping[str, Any],
    ) -> Self:
        """Hide what ``state``, and its ``earlier`` ones, have in the saga's sensitive fields.

        All text is hidden where ``saga`` is None, for a definition that is not known here.
        """
        if saga is None:
            return cls(hides_all=True)
        if not saga.sensitive:
            return cls()
        fields = frozenset(_names(saga))
        values: set[str] = set()
        for value in _sensitive(fields, (state, *earlier)):
            values.add(value)
            if len(values) > _MOST_VALUES:
                return cls(fields=fields, hides_all=True)
        written = {form for value in values for form in _forms(value)}
        return cls(fields=fields, written=tuple(sorted(written)))

    def text(self, text: str) -> str:
        """The text with each sensitive value in it replaced, whatever its letters' case."""
        if self.hides_all:
            return MASK if text else text
        if self.fields:
            text = _QUOTES.sub(rf"\1: {MASK}", text)
        if not self.written or not text:
            return text
        folded = _folded(text)
        spans = [span for written in self.written for span in _places(folded, written)]
        spans += _cut_off(folded, self.written)
        return _without(text, spans)

    def values(self, value: Any) -> Any:
        """JSON with every value under a sensitive name replaced, and each text masked."""
        return self._values(value, 0)

    def detail(self, detail: Mapping[str, Any]) -> dict[str, Any]:
        """An event's detail. Its own names are the engine's, whatever a state's fields are called.

        What fields were before, ``was``, is there because they are sensitive.
        """
        return {name: self._told(name, value) for name, value in detail.items()}

    def error(self, error: Exception) -> Exception:
        """An error that says the same without what is sensitive, and with nothing behind it."""
        said = self.text(plain(str(error)))
        told: Exception
        match error:
            case Refused():
                told = Refused(said, code=error.code)
            case TryAgain():
                told = TryAgain(said, after=error.after)
            case NeedsPerson():
                told = NeedsPerson(said, effect=error.effect, code=error.code)
            case SagaFailed():
                told = SagaFailed(said)
            case _:
                hidden = f"{type(error).__name__}: {MASK}"
                told = StepFailed(hidden if self.hides_all else self.text(gist(error)))
        return told.with_traceback(error.__traceback__)

    def _told(self, name: str, value: Any) -> Any:
        if name == "was" and isinstance(value, Mapping):
            return dict.fromkeys(value, MASK)
        return value if name in _OUR_WORDS else self.values(value)

    def _values(self, value: Any, depth: int) -> Any:
        if depth > _DEEPEST:
            return MASK
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return {
                    name: MASK if _same(name) in self.fields else self._values(part, depth + 1)
                    for name, part in value.items()
                }
            case list() | tuple():
                return [self._values(part, depth + 1) for part in value]
            case int() | float() if not isinstance(value, bool) and not self.hides_all:
                return value if self.text(str(value)) == str(value) else MASK
        return value


def replaced(
    saga: Saga[Any], before: Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """For an event: what its sensitive fields ``was`` where they are something else from now on.

    Texts that were written before have the old value, and only this tells later what to hide.
    """
    old = {
        name: before[name]
        for name in saga.sensitive
        if before.get(name) is not None and before[name] != after.get(name)
    }
    return {"was": old} if old else {}


def _names(saga: Saga[Any]) -> Iterator[str]:
    """The fields' names, and what else their model calls them."""
    for name in saga.sensitive:
        known = saga.state.model_fields[name]
        for called in (name, known.alias, known.serialization_alias):
            if called is not None:
                yield _same(called)


def _same(name: object) -> str:
    """``user_id``, ``userId``, ``UserId`` and ``user-id`` are one name."""
    return str(name).replace("_", "").replace("-", "").lower()


def _sensitive(fields: frozenset[str], states: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """What stands under the names, at any depth, as text; truth and nothing tell nothing."""
    left: list[tuple[Any, bool]] = [(state, False) for state in states]
    while left:
        value, is_sensitive = left.pop()
        match value:
            case Mapping():
                left += [
                    (part, is_sensitive or _same(name) in fields) for name, part in value.items()
                ]
            case list() | tuple():
                left += [(part, is_sensitive) for part in value]
            case str() | int() | float() if is_sensitive and not isinstance(value, bool):
                yield str(value)


def _forms(value: str) -> Iterator[str]:
    """How a value may be written: as it is, in one line, in JSON, in Python, in an address."""
    forms = [value, plain(value, longest=len(value) + 1)]
    if len(value) <= _LONGEST_WRITTEN_ANEW:
        raw = value.encode(errors="replace")
        forms += [json.dumps(value)[1:-1], repr(value)[1:-1], repr(raw)[2:-1]]
        forms += [quote(raw, safe=""), quote(raw), quote_plus(raw)]
    for form in forms:
        if form.strip():
            yield _folded(form)


def _folded(text: str) -> str:
    """In lower case, and exactly as long."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(each.lower() if len(each.lower()) == 1 else each for each in text)


def _places(text: str, written: str) -> Iterator[tuple[int, int]]:
    """Where it stands; of a long one, wherever its beginning does, as far as it goes on."""
    head = written[:_HEAD]
    at = text.find(head)
    while at >= 0:
        same = takewhile(lambda pair: pair[0] == pair[1], zip(text[at:], written, strict=False))
        end = at + sum(1 for _ in same)
        if len(head) >= _ANYWHERE or not head.isascii() or _is_word(text, at, end):
            yield at, end
        at = text.find(head, max(at + 1, end - len(head) + 1))


def _is_word(text: str, at: int, end: int) -> bool:
    return not (text[:at][-1:].isalnum() or text[end : end + 1].isalnum())


def _cut_off(text: str, written: Iterable[str]) -> Iterator[tuple[int, int]]:
    """What is left of a value before or behind a place where the text was cut."""
    cuts = sorted((at, cut) for cut in _CUTS for at in _all_of(text, cut))[-_MOST_CUTS:]
    for at, cut in cuts:
        before, behind = text[:at], text[at + len(cut) :]
        for value in written:
            # The longest first: what is shorter lies within.
            left = range(min(len(value), _HEAD), (_LEAST if value.isascii() else 1) - 1, -1)
            if head := next((n for n in left if before.endswith(value[:n])), 0):
                yield at - head, at
            if tail := next((n for n in left if behind.startswith(value[-n:])), 0):
                yield at + len(cut), at + len(cut) + tail


def _all_of(text: str, part: str) -> Iterator[int]:
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + len(part))


def _without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text with one mask for what overlaps or touches."""
    parts: list[str] = []
    behind = 0
    for start, end in sorted(spans):
        if start > behind or not parts:
            parts += [text[behind:start], MASK]
        behind = max(behind, end)
    return "".join([*parts, text[behind:]])
