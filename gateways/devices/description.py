"""A container in a Docker Engine's words, and in ours."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from gateways.devices.host import Container, Wanted

ADB = 5555
"""Where a device listens inside its container."""
_MEGABYTE = 1024 * 1024
_ENDED = frozenset({"exited", "dead", "restarting"})
_NEVER = "0001-01-01"


def options_of(wanted: Wanted) -> dict[str, Any]:
    """What the SDK calls a container's host configuration."""
    options: dict[str, Any] = {
        "port_bindings": {ADB: (wanted.bind_address, wanted.port)},
        "privileged": wanted.privileged,
        # Back with its engine; not after somebody stopped it.
        "restart_policy": {"Name": "unless-stopped"},
    }
    if wanted.cpu is not None:
        options["nano_cpus"] = wanted.cpu * 10**9
    if wanted.memory_mb is not None:
        options["mem_limit"] = wanted.memory_mb * _MEGABYTE
    if wanted.storage_mb is not None:
        options["storage_opt"] = {"size": f"{wanted.storage_mb}m"}
    return options


def container_of(seen: Mapping[str, Any]) -> Container:
    """What ``inspect`` tells of a container. Raises ValueError, LookupError and TypeError."""
    state, created_at = seen["State"], _moment(seen["Created"])
    if created_at is None:
        raise ValueError("a container that was never created")
    bindings = seen["HostConfig"].get("PortBindings") or {}
    bound = [int(each["HostPort"]) for each in bindings.get(f"{ADB}/tcp") or () if each["HostPort"]]
    return Container(
        id=seen["Id"],
        name=seen["Name"].removeprefix("/"),
        labels=seen["Config"].get("Labels") or {},
        state=state["Status"],
        created_at=created_at,
        started_at=_moment(state.get("StartedAt", "")),
        # Of one that could not be started the engine tells a code, too, though nothing ended.
        exit_code=state.get("ExitCode") if state["Status"] in _ENDED else None,
        port=bound[0] if bound else None,
    )


def listed_container(told: Mapping[str, Any]) -> Container:
    """What a list tells of a container. Raises ValueError, LookupError and TypeError."""
    # Of one that is being removed the name may be gone already.
    name = next(iter(told["Names"] or ()), "").removeprefix("/")
    return Container(
        id=told["Id"],
        name=name,
        labels=told["Labels"] or {},
        state=told["State"],
        created_at=datetime.fromtimestamp(told["Created"], UTC),
    )


def _moment(text: str) -> datetime | None:
    """A time as the engine writes it; of its nanoseconds the last three are left out."""
    if not text or text.startswith(_NEVER):
        return None
    return datetime.fromisoformat(text)
