"""Which definition to draw."""

from collections.abc import Mapping
from typing import Any

from saga.definition import Saga
from saga.errors import DefinitionNotFound
from saga.registry import Registry


def definition(registry: Registry, saga_type: str, version: int | None = None) -> Saga[Any]:
    """The definition of this name and version, the newest where None. Raises DefinitionNotFound."""
    newest = registry.newest(saga_type)
    if newest is None:
        known = sorted({saga.name for saga in registry})
        raise DefinitionNotFound(f"there is no saga type {saga_type!r}", known)
    if version is None:
        return newest
    saga = registry.find(saga_type, version)
    if saga is None:
        versions = sorted(known.version for known in registry if known.name == saga_type)
        raise DefinitionNotFound(f"there is no version {version} of {saga_type}", versions)
    return saga


def definition_of(registry: Registry, shown: Mapping[str, Any]) -> Saga[Any]:
    """The definition by which a saga goes, as ``saga.views.show`` tells it.

    It is known by its steps and roles: every change of them makes a new version. Where several
    versions have the same, the newest is given. Raises DefinitionNotFound.
    """
    saga_type = shown["saga"]["sagaType"]
    steps = [(step["name"], step["role"]) for step in shown["steps"]]
    alike = [
        saga
        for saga in registry
        if saga.name == saga_type and [(step.name, step.role) for step in saga.steps] == steps
    ]
    if not alike:
        versions = (f"{saga.name} version {saga.version}" for saga in registry)
        raise DefinitionNotFound(
            f"saga {shown['saga']['sagaId']} goes by a definition of {saga_type} that this "
            "process does not know",
            versions,
        )
    return max(alike, key=lambda saga: saga.version)
