"""A filter is read from text, and refused by the name of what is wrong."""

from datetime import UTC, datetime, timedelta

import pytest

from saga.filter import NAMES, BadFilter, Filter

LONG = "x" * 10_000


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"status": "failed"}, Filter(status="FAILED")),
        ({"status": "RUNNING, failed,,RUNNING"}, Filter(status="RUNNING,FAILED")),
        ({"error": "TimeoutError"}, Filter(error="TimeoutError")),
        ({"retries": "3"}, Filter(retries=3)),
        ({"retries": "2147483647"}, Filter(retries=2**31 - 1)),
        ({"paused": "yes"}, Filter(paused=True)),
        ({"olderThan": "90s"}, Filter(older_than=timedelta(seconds=90))),
        ({"olderThan": "15m"}, Filter(older_than=timedelta(minutes=15))),
        ({"olderThan": "2h"}, Filter(older_than=timedelta(hours=2))),
        ({"olderThan": "36500d"}, Filter(older_than=timedelta(days=36_500))),
        ({"since": "2026-07-01"}, Filter(since=datetime(2026, 7, 1, tzinfo=UTC))),
        (dict.fromkeys(NAMES, ""), Filter()),
        (dict.fromkeys(NAMES), Filter()),
    ],
)
def test_a_filter_is_read_from_text(given: dict[str, str | None], read: Filter) -> None:
    assert Filter.parse(given) == read


def test_several_statuses_are_told_apart() -> None:
    assert Filter(status="running,FAILED").statuses == ("RUNNING", "FAILED")
    assert Filter().statuses == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "LOST"),
        ("status", "RUNNING,LOST"),
        ("status", ","),
        ("retries", "0"),
        ("retries", "-1"),
        ("retries", "many"),
        ("retries", "1.5"),
        ("retries", "2147483648"),
        ("retries", "9" * 5_000),
        ("retries", "٣"),
        ("paused", "no"),
        ("paused", "1"),
        ("olderThan", "15"),
        ("olderThan", "m"),
        ("olderThan", "-5m"),
        ("olderThan", "1.5h"),
        ("olderThan", "5 m"),
        ("olderThan", "15M"),
        ("olderThan", "15m\n"),
        ("olderThan", "36501d"),
        ("olderThan", "9999999999d"),
        ("olderThan", "9" * 5_000 + "s"),
        ("limit", "0"),
        ("limit", "9" * 5_000),
        ("colour", "red"),
        ("older_than", "15m"),
        *((name, LONG) for name in sorted(NAMES)),
        *((name, "a\0b") for name in sorted(NAMES)),
        *((name, "\udcff") for name in sorted(NAMES)),
    ],
)
def test_a_filter_that_cannot_be_names_its_field(field: str, value: str) -> None:
    with pytest.raises(BadFilter) as refused:
        Filter.parse({field: value})

    assert refused.value.field == field
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("retries", {"retries": 0}),
        ("retries", {"retries": 2**31}),
        ("olderThan", {"older_than": timedelta(seconds=-1)}),
        ("olderThan", {"older_than": timedelta.max}),
        ("limit", {"limit": 501}),
        ("status", {"status": ""}),
    ],
)
def test_a_filter_made_in_python_is_looked_at_as_well(field: str, given: dict[str, object]) -> None:
    with pytest.raises(BadFilter) as refused:
        Filter(**given)  # type: ignore[arg-type]

    assert refused.value.field == field
