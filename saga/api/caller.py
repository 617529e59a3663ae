"""Who calls, what a route asks of them, and which route is meant."""

from collections.abc import Iterable
from typing import Annotated, Any, TypeAlias

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.params import Depends as DependsOn
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from saga.access import Permission, Principal

_PRINCIPAL = "saga.principal"
_ROUTE = "saga.route"

# A route, and what its path's parameters are.
Found: TypeAlias = tuple[APIRoute, dict[str, Any]]


class Needed:
    """A dependency by which a route says what it asks.

    The guard has refused everybody else by then, before it read the body; this is a second lock.
    """

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    async def __call__(self, request: Request) -> Principal:
        principal = await caller(request)
        if not principal.may(self.permission):
            raise HTTPException(403, f"a key of role {principal.role} may not do this")
        return principal


def needs(permission: Permission) -> DependsOn:
    """For a route's ``dependencies``: only who has the permission is let in."""
    dependency: DependsOn = Depends(Needed(permission))
    return dependency


def admit(scope: Scope, principal: Principal) -> None:
    """Let the request be this principal's from now on."""
    scope[_PRINCIPAL] = principal


async def caller(request: Request) -> Principal:
    """Whose request this is; only of routes that are not open."""
    principal = request.scope[_PRINCIPAL]
    assert isinstance(principal, Principal)
    return principal


# For a handler that acts in its caller's name, or shows them what they may see.
Caller = Annotated[Principal, Depends(caller)]


def permission_of(route: APIRoute) -> Permission | None:
    """What the route says that it needs; None where it says nothing."""
    said = [
        each.call.permission for each in _below(route.dependant) if isinstance(each.call, Needed)
    ]
    return said[0] if said else None


def met(scope: Scope, route: str) -> None:
    """Write down which route a request is for: its path as a template, without any id."""
    scope[_ROUTE] = route


def route_of(scope: Scope) -> str | None:
    """The template of the request's path; None for a path that leads nowhere."""
    route: str | None = scope.get(_ROUTE)
    return route


def _below(dependant: Dependant) -> Iterable[Dependant]:
    for each in dependant.dependencies:
        yield each
        yield from _below(each)


def match(routes: Iterable[APIRoute], scope: Scope) -> Found | None:
    """The route that will serve the request, and what its path says; None where there is none."""
    for route in routes:
        found, child = route.matches(scope)
        if found is Match.FULL:
            return route, child.get("path_params", {})
    return None
