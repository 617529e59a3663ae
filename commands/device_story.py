"""A device is created, another one never boots, the first one is deleted: nothing is left."""

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import httpx
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from commands.narrator import Narrator
from commands.quotas import make_users
from gateways.devices.adb import AdbDevice, AdbError
from gateways.devices.device import NAME
from gateways.devices.device.build import INSTALL
from models import Device, DevicePort, QuotaShare
from saga import Status

_PATIENCE_SECONDS = 30
_ADB_TIMEOUT = timedelta(seconds=5)


@dataclass(frozen=True)
class DeviceRemains:
    """How many things there are of devices, counted where they lie."""

    containers: int
    ports: int
    shares: int
    records: int

    @property
    def total(self) -> int:
        return self.containers + self.ports + self.shares + self.records

    def __str__(self) -> str:
        words = zip(
            ("container", "port", "share of a quota", "record"),
            (self.containers, self.ports, self.shares, self.records),
            strict=True,
        )
        return ", ".join(f"{count} {_plural(what, count)}" for what, count in words)

    def as_json(self) -> dict[str, int]:
        return asdict(self)


class DeviceStory:
    """Tells of two devices: ``devices`` is what was there meanwhile, ``left`` what is at last."""

    def __init__(self, narrator: Narrator) -> None:
        stack = narrator.stage.stack()
        self._narrator = narrator
        self._api = httpx.Client(
            base_url=stack.facts["apiUrl"],
            headers={"Authorization": f"Bearer {stack.facts['apiKey']}"},
            timeout=_PATIENCE_SECONDS,
            trust_env=False,
        )
        self._host = httpx.Client(
            base_url=stack.facts["devicesUrl"], timeout=_PATIENCE_SECONDS, trust_env=False
        )
        self._database: Engine = narrator.database
        self.devices: list[dict[str, Any]] = []
        self.left: DeviceRemains | None = None

    def tell(self) -> None:
        with self._api, self._host:
            self._narrator.title("7. A device is created, and answers adb")
            # The simulated host compiles it when it starts.
            if not self._host.get(f"/images/{NAME}/json").is_success:
                self._narrator.line(f"Left out, as no C compiler is here: {INSTALL}")
                return
            [user] = make_users(self._database, count=1, devices=2)
            device_id = self._create(user.user_id, "Boots", end=Status.COMPLETED)
            self._ask(device_id)
            before = self._count()
            self._narrator.title("8. A device that never boots leaves nothing behind")
            self._host.post("/control/faults", json={"operation": "boot", "kind": "never"})
            self._create(user.user_id, "Never boots", end=Status.COMPENSATED)
            self._expect(before, "the device that never booted left something behind")
            self._narrator.title("9. The device is deleted")
            self._delete(device_id)
            self._expect(DeviceRemains(0, 0, 0, 0), "a deleted device left something behind")

    def _create(self, user_id: str, name: str, *, end: Status) -> str:
        """Ask for a device as any client does; gives its id, once its saga rests."""
        self._narrator.line(f"POST $API/api/devices, a device of user …{user_id[-6:]}: {name!r}")
        answer = self._api.post("/api/devices", json={"userId": user_id, "name": name})
        return self._follow(name, answer, end=end)

    def _delete(self, device_id: str) -> None:
        self._narrator.line(f"DELETE $API/api/devices/{device_id}")
        self._follow("Deleted", self._api.delete(f"/api/devices/{device_id}"), end=Status.COMPLETED)

    def _follow(self, name: str, answer: httpx.Response, *, end: Status) -> str:
        if answer.status_code != httpx.codes.ACCEPTED:
            self._narrator.wrong.append(f"device {name!r} was not accepted: {answer.text}")
            return ""
        saga_id: str = answer.json()["sagaId"]
        self._narrator.follow(name, saga_id, end=end)
        return saga_id

    def _ask(self, device_id: str) -> None:
        """Let the device itself say that it is there."""
        device = self._api.get(f"/api/devices/{device_id}").json()
        address, port = device.get("adbAddress"), device.get("adbPort")
        try:
            with AdbDevice(str(address), int(port or 0), timeout=_ADB_TIMEOUT) as asked:
                size = asked.run("wm size").strip()
        except AdbError as error:
            self._narrator.wrong.append(f"the device does not answer: {error}")
            return
        self.devices.append(device)
        self._narrator.line(
            f"it is {device['status']}; adb connect {address}:{port} && adb shell wm size says: "
            f"{size}"
        )

    def _expect(self, expected: DeviceRemains, wrong: str) -> None:
        self.left = self._count()
        if self.left != expected:
            self._narrator.wrong.append(f"{wrong}: {self.left}, not {expected}")

    def _count(self) -> DeviceRemains:
        """Count what is there, and tell it."""
        with Session(self._database) as session:
            ports, shares, records = (
                session.scalar(select(func.count()).select_from(table)) or 0
                for table in (DevicePort, QuotaShare, Device)
            )
        containers = len(self._host.get("/control/books").json()["containers"])
        left = DeviceRemains(containers, ports, shares, records)
        self._narrator.line(f"[bold]There are[/]: {left}")
        return left


def _plural(what: str, count: int) -> str:
    word, of, rest = what.partition(" of ")
    return f"{word}{'' if count == 1 else 's'}{of}{rest}"
