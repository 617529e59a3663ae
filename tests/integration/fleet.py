"""A fleet: devices made and deleted by hand on a dock, and an auditor who counts what is there."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Engine as Database
from sqlalchemy import text
from sqlalchemy.orm import Session

from models import DeviceQuota
from saga import Operator, Timing
from tests.integration.by_hand import TIMING, ByHand
from tests.integration.dock import Dock
from workflows import (
    DeviceDeletionInput,
    DeviceInput,
    creation,
    deletion,
    request_deletion,
    request_device,
)
from workflows.sweeping import LateContainers

TABLES = (
    *("devices", "device_ports", "quota_shares", "device_quotas"),
    *("saga_state", "saga_event", "saga_signal", "saga_pause"),
)
EMPTY = "; ".join(f"DELETE FROM {table}" for table in TABLES)
ANN = "ann"
STARTED_AT = """
UPDATE saga_state SET state = jsonb_set(
    state, '{started_at}', to_jsonb((state ->> 'started_at')::timestamptz - :time))
WHERE state ->> 'started_at' IS NOT NULL"""


class Fleet(ByHand):
    """Devices on a dock. ``ann`` is who is called when only a person can go on."""

    def __init__(self, database: Database, dock: Dock, *, timing: Timing = TIMING) -> None:
        super().__init__(database, creation, deletion, timing=timing)
        self.ann = Operator(self.engine, actor=ANN)
        self.begin_anew(dock)

    def begin_anew(self, dock: Dock) -> None:
        """With nothing in database and broker, and with this dock."""
        self.dock = dock
        self.broker.lose_all()
        self.broker.is_away = False
        self.execute(EMPTY)

    def user(self, user_id: str = "user", *, devices: int = 10, **limits: Any) -> str:
        """Who may have so many devices, of any size unless ``limits`` says otherwise."""
        many = dict.fromkeys(("cpu", "memory_mb", "storage_mb"), 10**8)
        quota = {
            **{f"device_{name}": most for name, most in many.items()},
            **{f"total_{name}": most for name, most in many.items()},
            **limits,
        }
        with Session(self.database) as session, session.begin():
            session.add(DeviceQuota(user_id=user_id, devices=devices, **quota))
        return user_id

    def create(self, user_id: str = "user", *, name: str = "phone", **asked: Any) -> UUID:
        device = DeviceInput(user_id=user_id, name=name, **asked)
        with Session(self.database) as session, session.begin():
            return request_device(self.engine, session, device).saga_id

    def delete(self, device_id: UUID, *, key: str | None = None) -> UUID:
        asked = DeviceDeletionInput(device_id=device_id)
        with Session(self.database) as session, session.begin():
            return request_deletion(self.engine, session, asked, key).saga_id

    def created(self, user_id: str = "user", **asked: Any) -> UUID:
        """A device that is there."""
        saga_id = self.create(user_id, **asked)
        self.work_off()
        assert self.status(saga_id) == "COMPLETED", self.why(saga_id)
        return saga_id

    def ends(self, saga_id: UUID) -> str:
        """How the saga ends when all is worked off."""
        self.work_off()
        return self.recover_until_rest(saga_id, step=timedelta(seconds=30))

    def why(self, saga_id: UUID) -> str:
        return str(self.row(saga_id)["error_message"])

    def reaches(self, saga_id: UUID, step: str) -> None:
        """Work off until the next message is for this step."""
        self.work_off(until=step)
        assert self.broker.queue, self.row(saga_id)
        assert self.broker.queue[0].step == step, self.row(saga_id)

    def taken_over(self) -> None:
        """The lease of whoever works now runs out, and another worker takes the work over."""
        while not self.broker.queue:
            # Its heartbeat may come in between.
            self.let_pass(timedelta(minutes=2))
            self.recover()
        self.deliver()

    def tidy(self) -> int:
        """What beat does every half minute: remove containers that came too late."""
        return LateContainers(self.engine, door=lambda: self.dock).run()

    def let_pass(self, time: timedelta) -> None:
        """Time passes for devices, their ports and their quotas, too."""
        super().let_pass(time)
        for sql in (
            STARTED_AT,
            "UPDATE device_ports SET since = since - :time",
            "UPDATE quota_shares SET since = since - :time",
            "UPDATE device_quotas SET expires_at = expires_at - :time",
        ):
            self.execute(sql, {"time": time})
        for box in self.dock.boxes.values():
            box.created_at -= time

    def ask(self, sql: str, **params: Any) -> list[Any]:
        with self.database.begin() as connection:
            return list(connection.execute(text(sql), params))

    def port(self, device_id: UUID) -> int | None:
        found = self.ask("SELECT port FROM device_ports WHERE device_id = :id", id=str(device_id))
        return found[0].port if found else None

    def wrong(self, *devices: UUID) -> list[str]:
        """What is there beyond these devices, or not there of them: nothing, if all is right."""
        return list(self._wrong({str(device) for device in devices}))

    def _wrong(self, devices: set[str]) -> Iterator[str]:
        ports = "SELECT port, device_id FROM device_ports WHERE device_id IS NOT NULL"
        shares = {row.device_id: row for row in self.ask("SELECT * FROM quota_shares")}
        records = {row.id: row for row in self.ask("SELECT * FROM devices")}
        port_of = {row.device_id: row.port for row in self.ask(ports)}
        labels = [box.wanted.labels for box in self.dock.boxes.values()]
        containers = [each["cloudphone.saga"] for each in labels if "cloudphone.saga" in each]
        there = {"shares": shares, "records": records, "ports": port_of, "containers": containers}
        for what, found in there.items():
            if sorted(found) != sorted(devices):
                yield f"{what} of {sorted(found)} are there, and the devices are {sorted(devices)}"
        for device in devices & set(records) & set(shares) & set(containers):
            record, share, box = records[device], shares[device], self.dock.bearing(device)[0]
            if (record.status, share.status) != ("idle", "used"):
                yield f"{device} is {record.status}, and its share {share.status}"
            if not record.adb_port == port_of.get(device) == box.wanted.port:
                yield f"{device} has ports {record.adb_port}, {port_of}, {box.wanted.port}"
            if (record.container_id, box.state) != (box.id, "running"):
                yield f"{device} has container {record.container_id}, not {box}"
            sizes = ("cpu", "memory_mb", "storage_mb")
            if [getattr(record, size) for size in sizes] != [getattr(share, s) for s in sizes]:
                yield f"{device} is of another size than its share: {record} {share}"
