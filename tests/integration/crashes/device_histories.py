"""The devices to be broken off at every point: made, not made after all, and deleted."""

from collections.abc import Callable

from gateways.devices import PortTaken
from gateways.devices.adb import AdbAway, AdbLocked
from tests.integration.crashes.devices import DeviceDesk
from tests.integration.crashes.history import History
from tests.integration.dock import fails, lost

ALWAYS = 1000
COMPENSATED = frozenset({"COMPENSATED"})


def host(moment: str, error: Exception, times: int = 1) -> tuple[str, Callable[[], object], int]:
    return moment, fails(error), times


def boots(desk: DeviceDesk) -> None:
    desk.dock.devices.words.append(AdbAway("it boots"))


def asks_for_a_key(desk: DeviceDesk) -> None:
    desk.dock.devices.words.extend([AdbLocked("it asks for a key")] * ALWAYS)


DEVICES = [
    History(name="a device is made", prepare=boots),
    History(
        name="a port clashes, and the host's answers are lost",
        faults=[host("before start", PortTaken("in use")), host("after create", lost())],
    ),
    History(
        name="a device asks for a key",
        prepare=asks_for_a_key,
        faults=[host("after remove", lost())],
        ends=COMPENSATED,
    ),
    History(
        name="a device is deleted",
        prepare=DeviceDesk.to_delete,
        faults=[host("after stop", lost()), host("after remove", lost())],
    ),
]
