"""The simulated host's containers bear being looked at whenever somebody likes to."""

import asyncio
from pathlib import Path

import pytest

from gateways.devices.device import binary
from gateways.devices.sandbox.containers import Containers
from tests.integration.wires import free_port

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("way", ["stop", "remove"])
def test_who_looks_at_a_device_that_is_being_ended_is_in_nobodys_way(
    way: str, tmp_path: Path
) -> None:
    containers = Containers(tmp_path)

    async def end_it_while_looking() -> None:
        record = containers.create(
            name="a",
            image="celery-sagas-device",
            labels={},
            command=[],
            environment={},
            address="127.0.0.1",
            port=free_port(),
            boot=None,
        )
        await containers.start(record, await asyncio.to_thread(binary, tmp_path))
        do = containers.stop(record, within_seconds=5) if way == "stop" else None
        ending = asyncio.create_task(do or containers.remove(record))
        while not ending.done():
            containers.all()
            await asyncio.sleep(0)
        await ending

    asyncio.run(end_it_while_looking())

    assert [each.state for each in containers.all()] == (["exited"] if way == "stop" else [])
