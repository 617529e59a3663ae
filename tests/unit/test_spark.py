"""Small pictures show what they say, with any numbers, and take all looks from the page."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from markupsafe import Markup

from saga.console.spark import lasted, lengths, ways
from saga.rates import BUCKET, BUCKETS, Bucket, Rates

AT = datetime(2026, 7, 1, 11, 5, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def hour(
    whole: dict[str, Any], counted_from: datetime | None = None, **told: dict[str, Any]
) -> Rates:
    """The buckets that are told by their numbers, as ``_0``; nothing happened in the others."""
    buckets = [Bucket(at=AT + BUCKET * n, **told.get(f"_{n}", {})) for n in range(BUCKETS)]
    return Rates(
        saga_type="payment_refund",
        buckets=buckets,
        whole=Bucket(at=AT, **whole),
        counted_from=counted_from,
    )


BUSY = hour(
    {
        "started": 1_020,
        "completed": 1_003,
        "back": 2,
        "failed": 1,
        "median": SECOND,
        "p95": 9 * SECOND,
    },
    _0={"started": 1_000, "completed": 1_000, "failed": 1, "median": SECOND, "p95": 9 * SECOND},
    _1={"started": 20, "completed": 3, "median": 2 * SECOND, "p95": 2 * SECOND},
    _11={"back": 2, "median": 90 * SECOND, "p95": 90 * SECOND},
)


def drawn(picture: Markup) -> ET.Element:
    return ET.fromstring(picture)


def title(picture: Markup) -> str:
    found = drawn(picture).find("title")
    assert found is not None
    return str(found.text)


def boxes(picture: Markup, name: str) -> list[tuple[float, float]]:
    """Top and bottom of each box of the class, from the left."""
    found = [one for one in drawn(picture).iter("rect") if name in one.get("class", "").split()]
    tops = [float(one.get("y", "0")) for one in found]
    return [
        (top, top + float(one.get("height", "0"))) for top, one in zip(tops, found, strict=True)
    ]


def test_what_is_shown_is_said_in_words() -> None:
    assert title(ways(BUSY)) == (
        "In the last hour: 1020 started, 1003 completed, 2 went back, 1 failed."
    )
    assert title(lengths(BUSY)) == (
        "In the last hour: half of them within 1.0 s, 95 of 100 within 9.0 s."
    )
    assert "<title>11:05 to 11:10 UTC: 1000 started, 1000 completed, 1 failed</title>" in ways(BUSY)
    assert "<title>12:00 to 12:05 UTC: 2 went back</title>" in ways(BUSY)
    assert "<title>11:10 to 11:15 UTC: half of them within 2.0 s" in lengths(BUSY)
    assert "<title>11:15 to 11:20 UTC: nothing came to rest</title>" in lengths(BUSY)


def test_what_nobody_did_is_a_calm_line() -> None:
    for picture, said in (
        (ways(None), "Nothing happened in the last hour."),
        (lengths(None), "Nothing came to rest in the last hour."),
        (
            lengths(hour({"started": 3}, _0={"started": 3})),
            "Nothing came to rest in the last hour.",
        ),
    ):
        assert title(picture) == said
        assert [one.tag for one in drawn(picture)] == ["title", "path"]


def test_bars_are_as_high_as_their_numbers_and_stand_on_each_other() -> None:
    [(top, bottom), (small, _)] = boxes(ways(BUSY), "good")
    [(failed_top, failed_bottom)] = boxes(ways(BUSY), "bad")
    [(back_top, back_bottom)] = boxes(ways(BUSY), "back")

    assert bottom == back_bottom == 34
    assert failed_bottom == top
    assert bottom - small == pytest.approx(2), "what is little is seen all the same"
    assert failed_bottom - failed_top == pytest.approx(2)
    assert bottom - top == pytest.approx(27, abs=0.1)
    assert min(top, failed_top, back_top) >= 3


def test_lines_break_where_nothing_came_to_rest() -> None:
    halves = [one for one in drawn(lengths(BUSY)).iter("path") if one.get("class") == "half"]

    assert len(halves) == 2


def test_the_time_that_was_not_counted_is_shown_and_said() -> None:
    picture = ways(hour({"started": 9}, AT + 3 * BUCKET, _4={"started": 9}))

    assert "of the newest that were counted" in title(picture)
    [unseen] = [one for one in drawn(picture).iter("rect") if one.get("class") == "unseen"]
    assert float(unseen.get("width", "0")) == pytest.approx(160 * 3 / BUCKETS)


def test_no_number_makes_a_picture_that_is_none() -> None:
    huge = {"started": 10**9, "completed": 10**9, "back": 10**9, "failed": 10**9}
    none = {"completed": 1, "median": timedelta(0), "p95": timedelta(0)}
    long = {"completed": 1, "median": timedelta(days=900), "p95": timedelta(days=9_000)}
    for told in (huge, none, long):
        for picture in (ways(hour(told, _3=told)), lengths(hour(told, _3=told))):
            numbers = [
                float(n)
                for n in re.findall(r"-?\d+\.\d+", re.sub("<title>.*?</title>", "", picture))
            ]
            assert all(-1 <= number <= 161 for number in numbers)
            assert not {"style", "fill", "stroke"} & {
                a for one in drawn(picture).iter() for a in one.attrib
            }


@pytest.mark.parametrize(
    ("time", "said"),
    [
        (timedelta(milliseconds=3), "3 ms"),
        (1.25 * SECOND, "1.2 s"),
        (59.9 * SECOND, "59.9 s"),
        (90.4 * SECOND, "1 min 30 s"),
        (timedelta(days=2, hours=3, minutes=5), "2 d 3 h"),
    ],
)
def test_times_are_told_as_short_as_they_may_be(time: timedelta, said: str) -> None:
    assert lasted(time) == said
