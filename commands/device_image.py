"""``saga device-image``: the minimal device as an image, for an engine without any Android."""

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from gateways.account import AccountFaulty
from gateways.devices import HostError
from gateways.devices.device import NAME, NoCompiler, build_image
from gateways.devices.engine import DockerHost
from saga.cli import current, print_json
from saga.cli.errors import CliError, UsageError, translate
from saga.cli.output import console
from settings import settings
from tasks.doors import host_account

translate(NoCompiler, CliError)
translate(HostError, CliError)
translate(AccountFaulty, CliError)

_WITHIN = timedelta(minutes=2)


def device_image(
    *,
    tag: Annotated[str, typer.Option(help="What the image is to be called.")] = NAME,
) -> None:
    """Let the Docker Engine of DEVICE_HOST_URL have an image of the minimal device.

    It is built here, from this project's own source; no registry is asked. Having it already is
    fine.
    """
    account = host_account()
    if account is None:
        raise UsageError(
            "on which engine? Set DEVICE_HOST_URL, such as unix:///var/run/docker.sock"
        )
    host = DockerHost(account, _WITHIN)
    with tempfile.TemporaryDirectory() as folder:
        is_new = build_image(host, Path(folder), image=tag)
    if current().json:
        print_json({"image": tag, "host": settings.device_host_url, "isNew": is_new})
    else:
        console.print(f"{host.name} has {tag}" + ("" if is_new else " already"))
