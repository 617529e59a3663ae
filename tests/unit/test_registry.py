"""What a process knows: sagas by type and version, tasks by name."""

from datetime import timedelta
from typing import Any

import pytest

from saga import DefinitionError, Saga, Step, compensatable, pivot
from saga.registry import Kind, Registry
from tests.unit.positions import State, ask, call, call_back, device, refund, sql, visit

pytestmark = pytest.mark.unit

PAY = call("trip.pay")


def trip(*steps: Step[State], version: int = 1, name: str = "trip") -> Saga[State]:
    return Saga(name=name, version=version, state=State, timeout=timedelta(minutes=5), steps=steps)


def fault(*sagas: Saga[Any]) -> str:
    with pytest.raises(DefinitionError) as unsound:
        Registry(sagas)
    (only,) = unsound.value.faults
    return only


def test_a_saga_is_found_by_type_and_version() -> None:
    first, second = trip(pivot(PAY)), trip(pivot(PAY), version=2)
    registry = Registry([second, first])

    assert registry.find("trip", 1) is first
    assert registry.find("trip", 2) is second
    assert registry.newest("trip") is second
    assert registry.find("trip", 3) is None
    assert registry.find("boat", 1) is None
    assert registry.newest("boat") is None
    assert set(registry) == {first, second}


def test_only_the_very_definition_that_was_given_is_known() -> None:
    registry = Registry([trip(pivot(PAY))])

    assert not registry.knows(trip(pivot(PAY)))
    assert registry.knows(next(iter(registry)))


def test_a_version_is_defined_once() -> None:
    assert fault(trip(pivot(PAY)), trip(pivot(PAY))) == "version 1 is defined twice"


def test_every_work_has_a_place() -> None:
    places = Registry([refund, device, visit]).places

    assert (places["refund.call"].kind, places["refund.call"].step) == (Kind.ACTION, "refund.call")
    assert (places["refund.find"].kind, places["refund.find"].step) == (Kind.PROBE, "refund.call")
    assert (places["refund.give_back"].kind, places["refund.give_back"].step) == (
        Kind.COMPENSATION,
        "refund.take",
    )
    assert "visit.invite" in places
    assert len(places) == 6 + 7 + 5


def test_what_is_run_gets_the_longest_time_that_any_version_gives_it() -> None:
    short = trip(pivot(PAY, timeout=timedelta(seconds=5)))
    long = trip(pivot(PAY, timeout=timedelta(seconds=50)), version=2)

    for order in ([short, long], [long, short]):
        assert Registry(order).places["trip.pay"].limit == timedelta(seconds=50)


def test_a_name_means_one_function() -> None:
    assert "'trip.pay'" in fault(trip(pivot(PAY)), trip(pivot(call("trip.pay")), version=2))


def test_a_name_means_one_kind_of_work() -> None:
    probing = trip(pivot(call("trip.ask"), probe=ask("trip.pay")), name="boat")

    assert "'trip.pay'" in fault(trip(pivot(PAY)), probing)


def test_a_compensation_belongs_to_one_step() -> None:
    back = call_back("trip.back")
    one = trip(compensatable(sql("trip.one"), compensation=back))
    two = trip(compensatable(sql("trip.two"), compensation=back), version=2)

    assert "'trip.back'" in fault(one, two)


def test_places_are_not_to_be_changed_from_outside() -> None:
    registry = Registry([trip(pivot(PAY))])
    registry.places.clear()

    assert registry.places
