"""A saga that is not sound does not get past its import, and says all that is wrong with it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from saga import (
    DefinitionError,
    Role,
    Saga,
    Step,
    compensatable,
    manual,
    nothing_to_compensate,
    pivot,
    retriable,
    skip,
)
from saga.fingerprints import Fingerprints, Standing
from tests.unit.positions import State, ask, call, call_back, device, refund, sql, sql_back

pytestmark = pytest.mark.unit

FINGERPRINTS = Path(__file__).parents[2] / "workflows" / "fingerprints.json"


def saga(*steps: Step[State], **changes: Any) -> Saga[State]:
    told: dict[str, Any] = {"name": "trip", "version": 1, "timeout": timedelta(minutes=5)}
    return Saga(**{**told, **changes}, state=State, steps=steps)


def faults(*steps: Step[State], **changes: Any) -> tuple[str, ...]:
    with pytest.raises(DefinitionError) as unsound:
        saga(*steps, **changes)
    return unsound.value.faults


def book(name: str = "trip.book") -> Step[State]:
    return compensatable(sql(name), compensation=sql_back(f"{name}_back"))


def pay(name: str = "trip.pay") -> Step[State]:
    return pivot(call(name))


def confirm(name: str = "trip.confirm") -> Step[State]:
    return retriable(sql(name))


@pytest.mark.parametrize(
    "steps",
    [
        [book()],
        [pay()],
        [confirm()],
        [book(), book("trip.book_more"), pay(), confirm(), confirm("trip.tell")],
        [pay(), confirm()],
        [book(), pay()],
        [pivot(sql("trip.sign"))],
    ],
)
def test_steps_in_order_are_sound(steps: list[Step[State]]) -> None:
    assert len(saga(*steps).steps) == len(steps)


def test_steps_out_of_order_are_named() -> None:
    order = "the order is compensatable, pivot, retriable"

    assert faults(pay(), book()) == (f"a compensatable step follows a pivot one; {order}",)
    assert faults(confirm(), pay()) == (f"a pivot step follows a retriable one; {order}",)
    assert f"a compensatable step follows a retriable one; {order}" in faults(confirm(), book())


def test_a_saga_has_one_pivot() -> None:
    assert faults(pay(), pay("trip.pay_more")) == ("it has more than one pivot",)


def test_only_a_retriable_step_can_be_skipped() -> None:
    fault = "{}: only a retriable step can be skipped when it is given up"

    assert faults(replace(book(), give_up=skip)) == (fault.format("trip.book"),)
    assert faults(replace(pay(), give_up=skip)) == (fault.format("trip.pay"),)
    assert saga(replace(confirm(), give_up=skip)).steps[0].is_skippable


def test_a_way_back_and_a_way_forward_meet_at_a_pivot() -> None:
    assert faults(book(), confirm()) == (
        "between compensatable and retriable steps there must be a pivot",
    )


class Secret(State):
    name: str
    pin: int


def test_only_fields_of_the_state_are_sensitive() -> None:
    def faulty(sensitive: Any) -> tuple[str, ...]:
        with pytest.raises(DefinitionError) as unsound:
            replace(saga(pay()), state=Secret, sensitive=sensitive)
        return unsound.value.faults

    assert faulty(["pin", "user", "pin"]) == (
        "the field 'pin' is said to be sensitive 2 times",
        "the sensitive 'user' is no field of Secret; there are: name, pin",
    )
    assert faulty("pin") == ("sensitive must be a list of names, such as ['pin']",)


def test_what_is_sensitive_is_no_part_of_the_fingerprint() -> None:
    secret = replace(saga(pay()), state=Secret, sensitive=["name", "pin"])

    assert secret.fingerprint == saga(pay()).fingerprint


def test_a_saga_has_steps() -> None:
    assert faults() == ("it has no steps",)


@pytest.mark.parametrize(
    "name", ["", "Trip", "trip-1", "1trip", "trip.book", "trip ", "trip\n", "é"]
)
def test_a_sagas_name_is_plain(name: str) -> None:
    assert faults(pay(), name=name) == (
        f"its name {name!r} must be lower case letters, digits and _",
    )


@pytest.mark.parametrize(
    "name", ["book", "Trip.book", "trip.", ".book", "trip..book", "trip.book "]
)
def test_a_steps_name_reads_like_a_task(name: str) -> None:
    assert faults(retriable(sql(name))) == (
        f"the name {name!r} must read like 'payment_refund.call_provider_refund'",
    )


@pytest.mark.parametrize("name", ["saga.compensate", "saga.recover", "saga.anything"])
def test_a_step_does_not_take_a_name_of_the_engine(name: str) -> None:
    assert faults(retriable(sql(name))) == (f"the name {name!r} begins like the engine's own",)


@pytest.mark.parametrize("version", [0, -1])
def test_versions_begin_at_one(version: int) -> None:
    assert faults(pay(), version=version) == ("its version must be 1 or more",)


@pytest.mark.parametrize("timeout", [timedelta(0), timedelta(seconds=-1)])
def test_a_timeout_is_a_while(timeout: timedelta) -> None:
    assert faults(pay(), timeout=timeout) == ("its timeout must be longer than nothing",)
    assert faults(pivot(call("trip.pay"), timeout=timeout)) == (
        "trip.pay: its timeout must be longer than nothing",
    )


def test_a_step_before_the_pivot_says_how_it_is_compensated() -> None:
    assert faults(compensatable(sql("trip.book"))) == (
        "trip.book: a compensatable step needs a compensation (or nothing_to_compensate)",
    )


@pytest.mark.parametrize("by_hand", [nothing_to_compensate, manual("call them")])
def test_to_say_that_nothing_or_a_person_compensates_is_enough(by_hand: Any) -> None:
    assert saga(compensatable(sql("trip.book"), compensation=by_hand))


def test_the_database_needs_no_probe() -> None:
    assert faults(pivot(sql("trip.sign"), probe=ask("trip.find"))) == (
        "trip.sign: a transactional step needs no probe, the database knows",
    )


def test_a_name_is_used_once_among_steps_compensations_and_probes() -> None:
    twice = compensatable(
        call("trip.book"), compensation=call_back("trip.book"), probe=ask("trip.pay")
    )

    assert faults(twice, pay()) == (
        "the name 'trip.book' is used 2 times",
        "the name 'trip.pay' is used 2 times",
    )


def test_all_faults_are_listed_at_once() -> None:
    with pytest.raises(DefinitionError) as unsound:
        saga(
            confirm("Confirm"),
            compensatable(call("trip.book"), timeout=timedelta(0)),
            name="Trip!",
            version=0,
            timeout=timedelta(0),
        )

    assert len(unsound.value.faults) == 8
    listed = str(unsound.value).splitlines()
    assert listed[0] == "saga 'Trip!' is not sound:"
    assert listed[1:] == [f"  - {fault}" for fault in unsound.value.faults]


def test_what_a_step_does_not_say_has_a_default() -> None:
    called, booked = pay(), book()

    assert called.timeout == timedelta(seconds=30)
    assert booked.timeout == timedelta(seconds=10)
    assert called.probe_for == timedelta(hours=1)
    assert called.retry.retries == 3
    assert booked.compensation_retry.retries == 10


def test_the_way_back_ends_at_the_pivot() -> None:
    assert refund.pivot_index == 1
    assert device.pivot_index == 3
    assert saga(book(), book("trip.book_more")).pivot_index == 2
    assert saga(confirm(), confirm("trip.tell")).pivot_index == 0


SHAPE = [book(), pay(), confirm()]
CHANGES: dict[str, Callable[[], Saga[State]]] = {
    "a step more": lambda: saga(*SHAPE, confirm("trip.tell")),
    "a step less": lambda: saga(*SHAPE[:2]),
    "another order": lambda: saga(*[book("trip.b"), book("trip.a")][::-1], *SHAPE[1:]),
    "another name": lambda: saga(book("trip.reserve"), *SHAPE[1:]),
    "another role": lambda: saga(book(), book("trip.pay"), pivot(sql("trip.confirm"))),
    "another compensation": lambda: saga(
        compensatable(sql("trip.book"), compensation=sql_back("trip.cancel")), *SHAPE[1:]
    ),
    "no machine's compensation": lambda: saga(
        compensatable(sql("trip.book"), compensation=manual("call")), *SHAPE[1:]
    ),
    "nothing to compensate": lambda: saga(
        compensatable(sql("trip.book"), compensation=nothing_to_compensate), *SHAPE[1:]
    ),
    "a step that may be skipped": lambda: saga(
        *SHAPE[:2], retriable(sql("trip.confirm"), give_up=skip)
    ),
    "a probe": lambda: saga(book(), pivot(call("trip.pay"), probe=ask("trip.find")), confirm()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_shape_has_another_fingerprint(change: str) -> None:
    assert CHANGES[change]().fingerprint != saga(*SHAPE).fingerprint


def test_settings_do_not_change_the_fingerprint() -> None:
    patient = saga(
        compensatable(
            sql("trip.book"),
            compensation=sql_back("trip.book_back"),
            timeout=timedelta(seconds=1),
        ),
        *SHAPE[1:],
        timeout=timedelta(days=1),
        version=2,
    )

    assert patient.fingerprint == saga(*SHAPE).fingerprint


def test_roles_have_the_names_that_stand_in_fingerprints() -> None:
    assert list(Role) == ["compensatable", "pivot", "retriable"]


def test_no_shape_changed_without_its_version() -> None:
    """When this fails: raise the saga's version, keep the old definition, add the new line."""
    import workflows  # noqa: PLC0415 - the application, only here

    shipped = Fingerprints.read(FINGERPRINTS)

    for known in (workflows.refund, workflows.upload, workflows.creation, workflows.deletion):
        assert shipped.standing(known) is Standing.KNOWN
