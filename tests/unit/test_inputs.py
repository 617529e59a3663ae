"""What PostgreSQL takes as JSON, and what it would refuse in the middle of a transaction."""

from typing import Any

import pytest

from saga.inputs import is_storable

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "values", [None, True, 5, 0.5, "", "tea", "\\u0000", "茶", {"a": [1, {"b": "c"}]}]
)
def test_json_is_stored_whatever_it_says(values: Any) -> None:
    assert is_storable(values)


@pytest.mark.parametrize("odd", ["a\0b", "\ud800", float("nan"), float("inf")])
def test_what_no_database_takes_is_found_wherever_it_is(odd: Any) -> None:
    assert not is_storable(odd)
    assert not is_storable({"a": [{"b": odd}]})
    assert not is_storable({"a": (odd,)})
    if isinstance(odd, str):
        assert not is_storable({odd: 1})
