"""Makes an image of the minimal device, without a registry."""

import io
import tarfile
from pathlib import Path
from typing import Any

from gateways.devices.device.build import binary, digest

NAME = "celery-sagas-device"
_SOURCE = "cloudphone.device-source"


def build_image(engine: Any, folder: Path, *, tag: str = NAME) -> str:
    """Let a Docker Engine (a ``docker.APIClient``) have the image; gives its id.

    Nothing is done where it has one of the same source. The binary is kept in ``folder``. Raises
    NoCompiler, and what the engine raises.
    """
    source = digest()
    for image in engine.images(name=tag, filters={"label": f"{_SOURCE}={source}"}):
        return str(image["Id"])
    content = binary(folder, static=True).read_bytes()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("device")
        entry.size, entry.mode = len(content), 0o755
        tar.addfile(entry, io.BytesIO(content))
    repository, _, version = tag.partition(":")
    engine.import_image_from_data(
        packed.getvalue(),
        repository=repository,
        tag=version or "latest",
        changes=['ENTRYPOINT ["/device"]', "EXPOSE 5555", f"LABEL {_SOURCE}={source}"],
    )
    return str(engine.inspect_image(tag)["Id"])
