"""The simulated host's containers in a Docker Engine's words."""

from datetime import datetime
from typing import Any

from gateways.devices.sandbox.containers import Record

_NEVER = "0001-01-01T00:00:00Z"
API_VERSION = "1.41"


def version() -> dict[str, str]:
    """What an engine says of itself."""
    return {
        "Version": "20.10.0",
        "ApiVersion": API_VERSION,
        "MinAPIVersion": API_VERSION,
        "Os": "linux",
        "Arch": "simulated",
    }


def inspected(record: Record) -> dict[str, Any]:
    """All that is told of one container."""
    return {
        "Id": record.id,
        "Name": f"/{record.name}",
        "Created": _moment(record.created_at),
        "Image": record.image,
        "State": {
            "Status": record.state,
            "Running": record.state == "running",
            "StartedAt": _moment(record.started_at),
            "ExitCode": record.exit_code,
        },
        "Config": {"Image": record.image, "Cmd": record.command, "Labels": record.labels},
        "HostConfig": {"PortBindings": _ports(record)},
        "NetworkSettings": {"Ports": _ports(record) if record.state == "running" else {}},
    }


def listed(record: Record) -> dict[str, Any]:
    """What is told of it in a list."""
    return {
        "Id": record.id,
        "Names": [f"/{record.name}"],
        "Image": record.image,
        "Created": int(record.created_at.timestamp()),
        "Labels": record.labels,
        "State": record.state,
        "Status": record.state,
        "Ports": [],
    }


def _ports(record: Record) -> dict[str, Any]:
    return {"5555/tcp": [{"HostIp": record.address, "HostPort": str(record.port)}]}


def _moment(moment: datetime | None) -> str:
    return _NEVER if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S.%f}000Z"
