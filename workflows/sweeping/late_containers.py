"""Removes containers that came to light when nobody wanted them any more.

A host that was slow, or a worker that was frozen, may finish a container when its removal is over
already: its saga has gone back, or its device was deleted. That stands in our own database, so that
nobody has to be asked.
"""

import time
from collections.abc import Callable
from datetime import timedelta

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from gateways.account import AccountFaulty
from gateways.devices import Container, ContainerHost, HostError
from saga import Engine, Status
from saga.database import is_away
from tasks.doors import NoSuchDoor, container_host
from workflows.sweeping import ownership
from workflows.sweeping.device_sources import device_of
from workflows.sweeping.source import batches

log = structlog.get_logger("saga")

TIDY_CONTAINERS = "device_creation.tidy_containers"
_WITHIN = timedelta(seconds=30)
CONTAINERS_LIMIT = timedelta(minutes=2)
_WENT_BACK = frozenset({Status.COMPENSATED, Status.TIMEOUT})


class LateContainers:
    """Looks for them on the host that ``door`` gives."""

    def __init__(
        self, engine: Engine, *, door: Callable[[], ContainerHost] = container_host
    ) -> None:
        self._database = engine.database
        self._door = door

    def run(
        self, *, within: timedelta = _WITHIN, timer: Callable[[], float] = time.monotonic
    ) -> int:
        """Remove those that nobody wants any more, for as long as this; gives how many.

        One that cannot be removed keeps no other one from it, and is told of at the end. Raises
        HostError, NoSuchDoor, AccountFaulty, and what the database raises.
        """
        ends_at = timer() + within.total_seconds()
        host, removed, failed = self._door(), 0, list[HostError]()
        for batch in batches(host.containers()):
            for container in self._late(batch):
                if timer() >= ends_at:
                    break
                # Asked again: a late success may have woken its saga since, and a person decides.
                if not self._late([container]):
                    continue
                try:
                    host.remove(container.id)
                except HostError as error:
                    failed.append(error)
                    continue
                removed += 1
                log.warning("late container removed", container=container.name)
        if failed:
            raise failed[0]
        return removed

    def scan(self) -> int:
        """Do what beat asks for; what goes wrong is logged, and the next pass tries again."""
        try:
            return self.run()
        except NoSuchDoor:
            pass  # an installation without devices has nothing to tidy
        except (HostError, AccountFaulty) as error:
            log.warning("containers not tidied, the next pass tries again", why=str(error))
        except DBAPIError as error:
            if not is_away(error):
                raise
            log.warning("database away, the next pass tries again", why=type(error).__name__)
        return 0

    def _late(self, containers: list[Container]) -> list[Container]:
        owners = {container.id: device_of(container) for container in containers}
        ids = {device for device in owners.values() if device is not None}
        names = [str(device) for device in ids]
        with Session(self._database) as session, session.begin():
            statuses = ownership.statuses(session, ids)
            recorded = ownership.devices_on_record(session, names)
            deleted = ownership.devices_deleted(session, names)
        unwanted = {
            device
            for device, status in statuses.items()
            if str(device) not in recorded
            and (
                status in _WENT_BACK
                # No record alone is not enough: somebody may have lost it.
                or (status == Status.COMPLETED and str(device) in deleted)
            )
        }
        return [container for container in containers if owners[container.id] in unwanted]
