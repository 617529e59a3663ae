"""One device made or deleted by hand: the real sagas, a real PostgreSQL, a host that may fail."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from gateways.devices import MANAGED, SAGA, Wanted
from models import Device, DevicePort, DeviceStatus, QuotaShare, ShareStatus, Specification
from models.device_state import container_name
from saga import BusinessKeyTaken, Timing
from saga.crashpoints import around
from tests.integration.crashes.desk import Desk
from tests.integration.dock import Dock
from tests.integration.fleet import Fleet
from workflows import DeviceDeletionInput, DeviceInput, creation, request_deletion, request_device
from workflows.device_creation import DeviceNotFound

USER = "user"
PORT = 5555
BACK = {"COMPENSATED", "TIMEOUT"}
OPEN = {"done", "unknown", "compensation_failed"}


class DeviceDesk(Fleet, Desk):
    """One device on an empty dock, from an empty database to the end of its saga.

    Another user's device stands beside it, and is nobody's business.
    """

    def __init__(self, database: Database, dock: Dock, *, timing: Timing) -> None:
        super().__init__(database, dock, timing=timing)
        self.open()
        self.user(USER)
        self.beside = self.stands_there(PORT)
        self.deletes: UUID | None = None

    def to_delete(self) -> None:
        """Let the history be a deletion: of a device that is there."""
        self.deletes = self.stands_there(PORT + 1)

    def stands_there(self, port: int) -> UUID:
        """A device as its creation leaves it, without its saga."""
        device, asked = uuid4(), Specification()
        size = asked.model_dump(include={"cpu", "memory_mb", "storage_mb"})
        name = container_name(str(device))
        labels = {MANAGED: "true", SAGA: str(device)}
        box = self.dock.put(
            Wanted(name=name, image="", labels=labels, command=(), environment={}, port=port)
        )
        with Session(self.database) as session, session.begin():
            session.add(DevicePort(port=port, device_id=str(device), since=box.created_at))
            share = {"device_id": str(device), "user_id": USER, "status": ShareStatus.USED}
            session.add(QuotaShare(**share, **size))
            session.add(
                Device(
                    id=str(device),
                    user_id=USER,
                    name="phone",
                    status=DeviceStatus.IDLE,
                    container_name=name,
                    container_id=box.id,
                    adb_port=port,
                    **asked.model_dump(),
                )
            )
        return device

    def start(self, idempotency_key: str = "key") -> None:
        with Session(self.database) as session:
            if self.deletes is None:
                device = DeviceInput(user_id=USER, name="phone")
                request_device(self.engine, session, device, idempotency_key)
            else:
                deletion = DeviceDeletionInput(device_id=self.deletes)
                request_deletion(self.engine, session, deletion, idempotency_key)
            with around("commit"):
                session.commit()

    def fault(self, fault: tuple[str, Callable[[], object], int]) -> None:
        moment, does, times = fault
        self.dock.on(moment, does, times=times)

    def during_calls(self, do: Callable[[str], None]) -> None:
        """Nobody does anything to a device meanwhile."""

    def another_may_start(self) -> bool:
        device = self.deletes or self.saga_id()
        assert device is not None
        try:
            with Session(self.database) as session:
                asked = DeviceDeletionInput(device_id=device)
                return request_deletion(self.engine, session, asked).is_new
        except BusinessKeyTaken:
            return False
        except DeviceNotFound:
            return True

    def books(self) -> list[Any]:
        return [*self.dock.boxes.values(), *self.dock.calls]

    def broken_promises(self) -> list[str]:
        self.dock.forget_troubles()
        self.tidy()
        return list(self._broken())

    def _broken(self) -> Iterator[str]:
        row, there = self.stands, [self.beside]
        events = self.events(row["saga_id"])
        status, is_made = row["status"], self.deletes is None
        if status == "COMPLETED" and is_made:
            there.append(row["saga_id"])
        yield from self.wrong(*there)
        if row["wake_at"] is not None or row["claimed_by"]:
            yield "1: it rests, and is to be woken, or claimed"
        done = Counter(
            each["step"] for each in events if each["kind"] in {"step_done", "completed"}
        )
        if again := [step for step, times in done.items() if times > 1]:
            yield f"2: done more than once: {again}"
        if status in BACK and OPEN.intersection(row["effects"].values()):
            yield f"4: {status} with open effects: {row['effects']}"
        order = [each["step"] for each in events if each["kind"] == "step_compensated"]
        steps = [step.name for step in creation.steps]
        if order != sorted(set(order), key=steps.index, reverse=True):
            yield f"4: compensated in the order {order}"
        epochs = [each["epoch"] for each in events]
        if epochs != sorted(epochs):
            yield f"7: epochs fell: {epochs}"
        if row["holds_key"] != (status not in {"COMPLETED", *BACK}):
            yield f"8: {status}, and holds_key is {row['holds_key']}"
        if [each["seq"] for each in events] != list(range(1, row["version"] + 1)):
            yield f"9: version {row['version']}, and {len(events)} events"
