"""What the demonstration tells: refunds, uploads, devices, then the books beside our payments."""

from dataclasses import dataclass
from typing import Any

from rich.console import Console

from commands.audit import Line, audit, problems
from commands.device_story import DeviceRemains, DeviceStory
from commands.narrator import Narrator
from commands.refund_story import RefundStory
from commands.remains import Remains
from commands.stage import Stage
from commands.upload_story import UploadStory
from saga import connect
from saga.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Told:
    """What came of the story: its sagas, the audit, and all that is not as it must be.

    ``apps`` is what users can have, ``left`` what is there of applications and nobody owns.
    ``devices`` were there meanwhile; ``devices_left`` is what is at the end, None where none was
    made.
    """

    sagas: list[dict[str, Any]]
    lines: list[Line]
    apps: list[dict[str, Any]]
    left: Remains | None
    devices: list[dict[str, Any]]
    devices_left: DeviceRemains | None
    wrong: list[str]


def tell(stage: Stage, registry: Registry, console: Console) -> Told:
    """Run the whole story on a stage that has started."""
    facts = stage.stack().facts
    database = connect(facts["databaseUrl"])
    narrator = Narrator(stage, registry, database, console)
    try:
        RefundStory(narrator).tell()
        uploads = UploadStory(narrator)
        uploads.tell()
        devices = DeviceStory(narrator)
        devices.tell()
        lines = audit(database, facts["sandboxUrl"])
    finally:
        database.dispose()
    return Told(
        sagas=narrator.sagas,
        lines=lines,
        apps=uploads.apps,
        left=uploads.left,
        devices=devices.devices,
        devices_left=devices.left,
        wrong=[*narrator.wrong, *problems(lines)],
    )
