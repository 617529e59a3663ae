"""What the console makes of the lines that it is told."""

import pytest

from saga.console.pages import clauses, cut, sentence

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("it is done", ["it is done"]),
        ("it waits; then it goes on", ["it waits", "then it goes on"]),
        ("failed (error: a; b (c; d)); retry", ["failed (error: a; b (c; d))", "retry"]),
        ("it failed (last error: a; b", ["it failed (last error: a; b"]),
        ("it failed: a) b; then c", ["it failed: a) b", "then c"]),
    ],
)  # fmt: skip
def test_a_line_is_told_in_its_clauses_and_what_is_in_brackets_stays_whole(
    line: str, told: list[str]
) -> None:
    assert clauses(line) == told


def test_a_clause_becomes_a_sentence_with_short_names() -> None:
    assert sentence("the saga shop.pay is tried", "shop") == "The saga pay is tried."
    assert sentence("shop.tell_all comes next", "shop") == "tell_all comes next."


def test_what_is_too_long_is_cut_and_says_so() -> None:
    assert cut("x" * 10, 10) == "x" * 10
    assert cut("x" * 11, 10) == "x" * 9 + "…"
