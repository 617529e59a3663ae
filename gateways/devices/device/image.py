"""Makes an image of the minimal device, without a registry."""

import io
import tarfile
from pathlib import Path

from gateways.devices.device.build import binary, digest
from gateways.devices.engine import DockerHost

NAME = "celery-sagas-device"
_SOURCE = "cloudphone.device-source"


def build_image(host: DockerHost, folder: Path, *, image: str = NAME) -> bool:
    """Let a Docker Engine have the image; False where it has it, of the same source.

    The binary is kept in ``folder``. Raises NoCompiler, and HostError.
    """
    source = digest()
    labels = host.image_labels(image)
    if labels is not None and labels.get(_SOURCE) == source:
        return False
    content = binary(folder, static=True).read_bytes()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("device")
        entry.size, entry.mode = len(content), 0o755
        tar.addfile(entry, io.BytesIO(content))
    host.import_image(
        packed.getvalue(),
        image=image,
        changes=['ENTRYPOINT ["/device"]', "EXPOSE 5555", f"LABEL {_SOURCE}={source}"],
    )
    return True
