"""A world that creates and deletes devices, on a simulated host that fails as it is told."""

import itertools
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Self
from uuid import UUID

from celery import Celery
from sqlalchemy import insert
from sqlalchemy.orm import Session

from models import DeviceQuota
from saga import Engine, Operator, Timing
from saga.worker import CeleryPublisher, producer
from tests.acceptance.holding import HoldingWorld, beyond
from tests.acceptance.world import QUICK
from tests.integration.simulated import Simulated
from workflows import (
    DeviceDeletionInput,
    DeviceInput,
    creation,
    deletion,
    request_deletion,
    request_device,
)

CHECK, CREATE, RECORD, INITIALIZE, USE = (step.name for step in creation.steps)
STOP, REMOVE, PORTS, QUOTA, FORGET = (step.name for step in deletion.steps)
USER = "a user"
ROOM = 10_000
_PORTS = 300

_NOT_HERE = ("WECHATPAY_", "ALIPAY_", "OBJECT_STORE_")
_QUICK = {
    **QUICK,
    "DEVICE_FIRST_RETRY_SECONDS": "0.2",
    "DEVICE_CALL_TIMEOUT_SECONDS": "10",
    "DEVICE_BOOT_SECONDS": "10",
    "DEVICE_POLL_SECONDS": "0.5",
    "DEVICE_TIDY_SECONDS": "0.5",
    "SWEEP_SECONDS": "1000",
    "SAGA_SECOND_LOOKS_SECONDS": "[86400]",
}


def _some_ports() -> str:
    """A few hundred that no other world is likely to have, below those that the system gives."""
    first = random.randrange(7000, 19_000, _PORTS)
    return f"{first}-{first + _PORTS - 1}"


@dataclass
class DeviceWorld(HoldingWorld):
    """A world of devices only, of one user who may have many. ``host`` is the simulated one."""

    settings: Mapping[str, str] = field(default_factory=lambda: _QUICK)
    main: str = "worker1"
    # Of this world alone: else another one's device might have the port of a host that is away.
    ports: str = field(default_factory=_some_ports)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.host = self.new_host()
        self.host.start()
        # Devices boot at once unless a test says otherwise, which comes first then.
        self._numbers = itertools.count(1)
        celery = Celery("test", broker=self.redis.url, set_as_current=False)
        celery.config_from_object("saga.celeryconfig")
        celery.conf.broker_url = self.redis.url
        self.engine = Engine(
            database=self.database,
            sagas=[creation, deletion],
            publisher=CeleryPublisher(producer(celery)),
            # As the workers' own: it says when recovery first looks at what is started here.
            timing=Timing(patience=timedelta(seconds=2)),
        )
        self.quota(USER, devices=ROOM)

    def new_host(self) -> Any:
        """The host of this world, not started yet."""
        return Simulated(self.folder / "host")

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in super().environment.items()
            if not name.startswith(_NOT_HERE)
        }
        return {**kept, "DEVICE_HOST_URL": self.host.url, "DEVICE_PORTS": self.ports}

    def close(self) -> None:
        super().close()
        self.host.end(kill=True)

    # What runs

    def start(self, *, concurrency: int) -> Self:
        self.start_beat()
        self.start_all([self.main], concurrency=concurrency)
        return self

    def next_worker(self, *, concurrency: int) -> None:
        """Start one more, which is the main one from now on."""
        self.main = f"worker{int(self.main.removeprefix('worker')) + 1}"
        self.start_worker(self.main, concurrency=concurrency)

    # What is done

    def quota(self, user_id: str, *, devices: int, **others: Any) -> None:
        """Let a user have so many devices of any size."""
        sizes = {"cpu": 16, "memory_mb": 32_768, "storage_mb": 1_048_576}
        limits = {
            **{f"device_{size}": most for size, most in sizes.items()},
            **{f"total_{size}": min(most * ROOM, 2**31 - 1) for size, most in sizes.items()},
        }
        values = {"user_id": user_id, "status": "active", "devices": devices, **limits, **others}
        with self.database.begin() as connection:
            connection.execute(insert(DeviceQuota), values)

    def create(
        self,
        *faults: Mapping[str, Any],
        user_id: str = USER,
        before: Callable[[UUID], object] = lambda _: None,
        is_host_there: bool = True,
    ) -> UUID:
        """Start a device, with whose container all this goes wrong; gives its id.

        ``before`` is called before any worker knows of it. It boots at once unless ordered else.
        """
        asked = DeviceInput(user_id=user_id, name=f"device {next(self._numbers)}")
        with Session(self.database) as session, session.begin():
            device_id = request_device(self.engine, session, asked).saga_id
            if is_host_there:
                self.order(device_id, *faults, boots("slow", seconds=0))
            before(device_id)
        return device_id

    def delete(
        self,
        device_id: UUID,
        *faults: Mapping[str, Any],
        before: Callable[[UUID], object] = lambda _: None,
    ) -> UUID:
        """Start a device's deletion; gives its saga's id, as ``before`` gets it."""
        with Session(self.database) as session, session.begin():
            asked = DeviceDeletionInput(device_id=device_id)
            saga_id = request_deletion(self.engine, session, asked).saga_id
            self.order(device_id, *faults)
            before(saga_id)
        return saga_id

    def created(self, *, count: int) -> list[UUID]:
        """Devices that are there."""
        made = [self.create() for _ in range(count)]
        for device_id in made:
            self.until_status(device_id, "COMPLETED")
        return made

    def order(self, device_id: UUID, *faults: Mapping[str, Any]) -> None:
        for fault in faults:
            self.host.order(**{"name": f"cloudphone-{device_id}", **fault})

    def cancel(self, saga_id: UUID) -> None:
        Operator(self.engine, actor="test").cancel(saga_id, reason="test")

    # What is seen

    def remains(self) -> list[str]:
        """All that there is beyond what COMPLETED sagas own, or is missing of that; in words."""
        there = {str(each) for each in self._there()}
        containers = {each["name"]: each for each in self.host.books()}
        shares = self.rows("SELECT * FROM quota_shares")
        ports = self.rows("SELECT * FROM device_ports WHERE device_id IS NOT NULL")
        devices = self.rows("SELECT * FROM devices")
        return [
            *beyond("container", containers, {f"cloudphone-{each}" for each in there}),
            *beyond("share", {row.device_id for row in shares}, there),
            *beyond("port", {row.device_id for row in ports}, there),
            *beyond("record", {row.id for row in devices}, there),
            *(f"share of {row.device_id}: {row.status}" for row in shares if row.status != "used"),
            *(f"device {row.id}: {row.status}" for row in devices if row.status != "idle"),
            *(
                f"device {row.id} answers at {row.adb_port}, its port is {has.port}"
                for row in devices
                for has in ports
                if row.id == has.device_id and row.adb_port != has.port
            ),
            *(
                f"container {name} is {each['state']} at {each['port']}"
                for name, each in containers.items()
                for row in devices
                if row.container_name == name
                and (each["state"], each["port"]) != ("running", row.adb_port)
            ),
            *_more(len(self.host.devices()), len(there)),
        ]

    def until_nothing_remains(self) -> None:
        """Wait until beat has removed what came late; fail with what is left over."""
        left = self.remains
        try:
            self.until(lambda: not left(), "nothing is left over", within=20)
        except AssertionError:
            raise AssertionError(f"left over: {left()}") from None

    def is_calling(self, saga_id: UUID, step: str) -> bool:
        """Whether a worker is in this call of it."""
        sql = (
            "SELECT 1 FROM saga_state WHERE saga_id = :id AND current_step = :step "
            "AND claimed_by IS NOT NULL"
        )
        return bool(self.rows(sql, id=saga_id, step=step))

    def said(self, saga_id: UUID) -> str:
        """The last error of a saga."""
        [row] = self.rows("SELECT error_message FROM saga_state WHERE saga_id = :id", id=saga_id)
        return str(row.error_message)

    def _there(self) -> set[UUID]:
        """The devices that must be there: created, and not deleted since."""
        sql = "SELECT saga_id FROM saga_state WHERE saga_type = :type AND status = 'COMPLETED'"
        created = {row.saga_id for row in self.rows(sql, type=creation.name)}
        sql = (
            "SELECT state->>'device_id' AS id FROM saga_state "
            "WHERE saga_type = :type AND status = 'COMPLETED'"
        )
        return created - {UUID(row.id) for row in self.rows(sql, type=deletion.name)}


def _more(processes: int, devices: int) -> list[str]:
    if processes == devices:
        return []
    return [f"{processes} processes of devices, of which {devices} are there"]


def slow(operation: str, *, seconds: float = 1.5) -> dict[str, Any]:
    """A call that is done, and takes its time."""
    return {"operation": operation, "kind": "slow", "seconds": seconds}


def wrong(operation: str, kind: str, *, times: int = 1, seconds: float = 0.2) -> dict[str, Any]:
    return {"operation": operation, "kind": kind, "times": times, "seconds": seconds}


def boots(kind: str, *, seconds: float = 1) -> dict[str, Any]:
    """How a device boots."""
    return {"operation": "boot", "kind": kind, "seconds": seconds}
