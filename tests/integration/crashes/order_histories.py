"""The orders to be broken off at every point: they wait, sleep, are paused and repaired."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from saga import (
    CannotTell,
    Effect,
    NeedsPerson,
    PollAgain,
    Refused,
    Timing,
    Wait,
    progress,
    sleep_until,
)
from saga.position import Outcome
from tests.integration.crashes.deed import (
    Deed,
    at,
    at_once,
    failed,
    goes_back,
    operate,
    overdue,
    pause_type,
    paused,
    resolve,
    resume_type,
    signal,
    tries_again,
    waits,
)
from tests.integration.crashes.history import History
from tests.integration.crashes.orders import OrderDesk

COMPLETED, COMPENSATED = frozenset({"COMPLETED"}), frozenset({"COMPENSATED"})
ALWAYS = 1000
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)

# What a call does, by how many came before it; see Plan.
Behaves = Callable[[OrderDesk], Callable[[int], Any]]


def plans(**behaviours: Behaves) -> Callable[[OrderDesk], None]:
    def prepare(desk: OrderDesk) -> None:
        for step, behaviour in behaviours.items():
            desk.plan.behaviours[step] = behaviour(desk)

    return prepare


def until_paid(times: int = 1, *, timeout: timedelta = HOUR) -> Behaves:
    """Wait for the signal, until the saga has taken in so many."""
    wait = Wait(signal="paid", timeout=timeout)
    return lambda desk: lambda _: None if desk.paid() >= times else wait


def polls(times: int, **how: Any) -> Behaves:
    return lambda _: lambda before: PollAgain(**how) if before < times else None


def sleeps(desk: OrderDesk) -> Any:
    return lambda before: None if before else sleep_until(desk.now() + 2 * MINUTE)


def fails(times: int, error: Exception | None = None) -> Behaves:
    raised = error or RuntimeError("cut off")
    return lambda _: lambda before: raised if before < times else None


def fails_until_mended(error: Exception | None = None) -> Behaves:
    raised = error or RuntimeError("no")
    return lambda desk: lambda _: None if desk.mended else raised


def does_it_and_is_cut_off(step: str) -> Behaves:
    def plan(desk: OrderDesk) -> Any:
        def act(key: object) -> None:
            desk.plan.took_effect(step, key)
            raise RuntimeError("cut off")

        return lambda _: act

    return plan


def closed_under_its_first_key(desk: OrderDesk) -> Any:  # noqa: ARG001
    def act(key: object) -> None:
        if str(key).endswith("-1"):
            raise NeedsPerson("the number is closed: retry", effect=Effect.NOT_DONE)

    return lambda _: act


def tells_how_far_it_has_come(desk: OrderDesk) -> Any:  # noqa: ARG001
    def act(key: object) -> None:  # noqa: ARG001
        progress(1, 2)
        time.sleep(0.25)

    return lambda _: act


def cannot_tell(times: int) -> Behaves:
    return lambda _: lambda before: CannotTell("down") if before < times else None


def order(
    name: str, *deeds: Deed, ends: frozenset[str] = COMPLETED, **behaviours: Behaves
) -> History:
    return History(name=name, ends=ends, prepare=plans(**behaviours), deeds=deeds)


ORDERS = [
    History(
        name="a long call tells how far it has come",
        prepare=plans(ship=tells_how_far_it_has_come),
        timing=Timing(lease=timedelta(milliseconds=450)),
    ),
    order("the signal comes before the step waits", signal("s1", when=at_once), ship=until_paid()),
    order("the signal comes while the step waits", signal("s1", when=waits), ship=until_paid()),
    order("the signal comes while the call runs", signal("s1", during="ship"), ship=until_paid()),
    order(
        "the signal comes twice, and then another",
        *(signal("s1", when=waits), signal("s1", when=waits, patient=True)),
        signal("s2", when=waits, patient=True),
        ship=until_paid(2),
    ),
    order("an SQL step waits for the signal", signal("s1", when=waits), reserve=until_paid()),
    order(
        "a signal for two, and the second step finds its own",
        *(signal("s1", when=at_once), signal("s2", when=at_once)),
        ship=until_paid(),
        tell=until_paid(2),
    ),
    order("the signal never comes", ship=until_paid(timeout=MINUTE), ends=COMPENSATED),
    order(
        "the pivot's final word never comes", pay=until_paid(timeout=30 * MINUTE), ends=COMPENSATED
    ),
    order("the pivot's final word comes late", signal("s1", when=overdue), pay=until_paid()),
    order("the pivot's final word is asked for", pay=polls(6, after=MINUTE)),
    order(
        "a signal ends a poll early",
        signal("s1", when=waits),
        pay=lambda desk: (
            lambda _: None if desk.paid() else PollAgain(after=10 * MINUTE, signal="paid")
        ),
    ),
    order("a call sleeps", ship=sleeps),
    order("an SQL step sleeps past the pivot", book=sleeps),
    order(
        "the probe raises, and then tells that it happened",
        pay=does_it_and_is_cut_off("pay"),
        find_pay=fails(2),
    ),
    order(
        "the probe raises, and then tells that it did not happen",
        pay=fails(ALWAYS),
        find_pay=fails(2),
        ends=COMPENSATED,
    ),
    order(
        "cancelled while it waits",
        operate("cancel", when=waits),
        ship=until_paid(),
        ends=COMPENSATED,
    ),
    order("cancelled while a call runs", operate("cancel", during="ship"), ends=COMPENSATED),
    order("cancelled while the pivot runs, which happens", operate("cancel", during="pay")),
    order(
        "cancelled while the pivot runs, which does not happen",
        operate("cancel", during="pay"),
        pay=fails(ALWAYS),
        ends=COMPENSATED,
    ),
    order(
        "cancelled while the probe is asked",
        operate("cancel", during="find_pay"),
        pay=fails(ALWAYS),
        ends=COMPENSATED,
    ),
    order(
        "paused and resumed",
        operate("pause", when=at("pay")),
        operate("resume", when=paused, patient=True),
    ),
    order(
        "paused while a call runs",
        operate("pause", during="ship"),
        operate("resume", when=paused, patient=True),
    ),
    order(
        "paused while it waits, and the signal comes",
        operate("pause", when=waits),
        signal("s1", when=paused, patient=True),
        operate("resume", when=paused, patient=True),
        ship=until_paid(),
    ),
    order(
        "paused on the way back",
        operate("pause", when=goes_back),
        operate("resume", when=paused, patient=True),
        pay=fails(ALWAYS, Refused("no")),
        ends=COMPENSATED,
    ),
    order(
        "its type is paused for longer than the saga's time",
        pause_type(when=at_once),
        resume_type(when=paused, patient=True, after=HOUR),
    ),
    order(
        "its pivot's provider is down, and the step is paused",
        pause_type("pay", during="pay"),
        resume_type("pay", when=paused, patient=True, after=HOUR),
        pay=fails(1),
    ),
    order(
        "its type is paused while it waits, and resumed",
        pause_type(when=waits),
        resume_type(when=waits, patient=True, after=3 * MINUTE),
        signal("s1", when=waits, patient=True),
        ship=until_paid(),
    ),
    order(
        "it failed, and is tried again",
        operate("retry", when=failed, mends=True),
        tell=fails_until_mended(),
    ),
    order(
        "it was refused past the pivot, and is tried again under a new key",
        operate("retry", when=failed, mends=True),
        tell=fails_until_mended(Refused("closed")),
    ),
    order(
        "its compensation failed, and is tried again",
        operate("retry", when=failed, mends=True),
        pay=fails(ALWAYS, Refused("no")),
        recall=fails_until_mended(),
        ends=COMPENSATED,
    ),
    order(
        "it failed past the pivot, and is ordered back",
        operate("compensate", when=failed),
        tell=fails(ALWAYS),
        ends=COMPENSATED,
    ),
    order(
        "nobody can tell of the pivot, and a person knows that it happened",
        resolve(Outcome.DONE, "pay", when=failed),
        pay=does_it_and_is_cut_off("pay"),
        find_pay=cannot_tell(ALWAYS),
    ),
    order(
        "nobody can tell of the pivot, and a person knows that it did not happen",
        resolve(Outcome.NOT_DONE, "pay", when=failed),
        pay=fails(ALWAYS),
        find_pay=cannot_tell(ALWAYS),
        ends=COMPENSATED,
    ),
    order(
        "there is not money enough, and a person sees to it",
        operate("retry", when=failed, mends=True),
        pay=fails_until_mended(NeedsPerson("top up, then retry", effect=Effect.NOT_STARTED)),
    ),
    order(
        "its number is closed, and a person lets it try another one",
        operate("retry", when=failed),
        pay=closed_under_its_first_key,
    ),
    order(
        "tried again at once, before its time",
        operate("retry", when=tries_again),
        ship=fails(1),
    ),
    order(
        "asked again at once, before its time",
        operate("retry", when=waits),
        pay=polls(1, after=HOUR),
    ),
]
