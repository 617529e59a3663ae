"""Waits between attempts: whole seconds, bounded, whatever is asked."""

import random
from datetime import timedelta

import pytest

from saga import RetryPolicy
from saga.retry import COMPENSATION, LOOK, PROBE, STEP

pytestmark = pytest.mark.unit


def seconds(policy: RetryPolicy, attempts: int, jitter: float = 0.0) -> float:
    return policy.delay(attempts, jitter=jitter).total_seconds()


def test_three_retries_are_four_attempts() -> None:
    assert [STEP.allows(attempts) for attempts in (1, 2, 3, 4, 5)] == [
        *(True, True, True),
        *(False, False),
    ]


def test_no_retries_are_one_attempt() -> None:
    assert not RetryPolicy(retries=0).allows(1)


def test_each_wait_is_twice_the_one_before_up_to_the_longest() -> None:
    policy = RetryPolicy(first=timedelta(seconds=2), longest=timedelta(seconds=20))

    assert [seconds(policy, attempts) for attempts in range(1, 7)] == [2, 4, 8, 16, 20, 20]


def test_a_compensation_waits_ten_minutes_at_most_and_gets_ten_retries() -> None:
    assert COMPENSATION.allows(10)
    assert not COMPENSATION.allows(11)
    assert seconds(COMPENSATION, 10) == 600


@pytest.mark.parametrize("attempts", [48, 49, 64, 1_000, 10**9])
@pytest.mark.parametrize(
    "policy",
    [
        STEP,
        COMPENSATION,
        PROBE,
        LOOK,
        RetryPolicy(first=timedelta(days=10), longest=timedelta(days=30)),
        RetryPolicy(first=timedelta(days=365), longest=timedelta(days=365)),
    ],
)
def test_the_wait_never_overflows(policy: RetryPolicy, attempts: int) -> None:
    assert policy.delay(attempts) == policy.longest


@pytest.mark.parametrize("attempts", [0, -1])
def test_before_the_first_attempt_the_wait_is_the_first(attempts: int) -> None:
    assert seconds(STEP, attempts) == 2


@pytest.mark.parametrize("first", [0, 0.001, 0.5, 1])
@pytest.mark.parametrize("jitter", [0.0, 0.3, 1.0])
def test_no_wait_is_shorter_than_a_second(first: float, jitter: float) -> None:
    assert seconds(RetryPolicy(first=timedelta(seconds=first)), 1, jitter) == 1


def test_waits_are_whole_seconds_within_what_jitter_may_take() -> None:
    chance = random.Random(7)
    policy = RetryPolicy(first=timedelta(seconds=3.3), longest=timedelta(minutes=4))
    for attempts in range(1, 60):
        wait = seconds(policy, attempts, chance.random())
        full = min(3.3 * 2 ** (attempts - 1), 240)

        assert wait == int(wait)
        assert full / 2 <= wait <= full + 1


def test_all_jitter_halves_the_wait() -> None:
    assert seconds(STEP, 4, jitter=1.0) == 8
