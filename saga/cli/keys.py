"""``saga keys``: who may speak to the HTTP API; and ``saga audit``: what they did."""

from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from saga.access import Role, keys
from saga.access.audit import list_audit
from saga.cli.completion import roles
from saga.cli.database import database_errors
from saga.cli.errors import UsageError
from saga.cli.invocation import current
from saga.cli.loading import connect
from saga.cli.options import login_name
from saga.cli.output import console, print_json
from saga.filter import BadFilter, duration
from saga.views import iso

_Actor = Annotated[str | None, typer.Option(help="Who does it; else your login name.")]


def register(root: typer.Typer) -> None:
    group = typer.Typer(help="Make, list and revoke keys of the HTTP API.", no_args_is_help=True)
    group.command()(create)
    group.command("list")(list_)
    group.command()(revoke)
    root.add_typer(group, name="keys")
    root.command()(audit)


def create(
    *,
    name: Annotated[str, typer.Option(help="Whose it is: signs what is done with it.")],
    role: Annotated[str, typer.Option(help=f"One of {', '.join(Role)}.", autocompletion=roles)],
    expires: Annotated[
        str | None, typer.Option(help="Good for so long, such as 90d; else until revoked.")
    ] = None,
    actor: _Actor = None,
) -> None:
    """Make a key, and print it, this once."""
    lasts = None if expires is None else _duration(expires)
    app = connect()
    with database_errors(), app.engine.database.begin() as connection:
        key = keys.create(
            connection,
            name=name,
            role=_role(role),
            by=actor or login_name(),
            expires_in=lasts,
        )
    if current().json:
        print_json({**_told(key), "secret": key.secret})
        return
    console.print(f"{key.key_id}: {key.role} {escape(repr(key.name))}{_until(key)}", soft_wrap=True)
    console.print("the key, which nobody can show again:", soft_wrap=True)
    console.print(key.secret, soft_wrap=True, markup=False, highlight=False)
    console.print("send it as Authorization: Bearer KEY, or set SAGA_KEY for saga --url …")


def list_() -> None:
    """List all keys, the newest first; never what they are sent as."""
    app = connect()
    with database_errors(), app.engine.database.connect() as connection:
        found = keys.list_keys(connection)
    if current().json:
        print_json({"items": [_told(key) for key in found]})
        return
    if not found:
        console.print("no keys: saga keys create makes one")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("key", "role", "name", "made", "by", "now"):
        table.add_column(column)
    for key in found:
        table.add_row(
            key.key_id,
            key.role,
            escape(key.name),
            f"{iso(key.created_at)[:19]}Z",
            escape(key.created_by),
            _standing(key),
        )
    console.print(table, soft_wrap=True)


def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="As saga keys list names it.")],
    *,
    actor: _Actor = None,
) -> None:
    """Let no request in by a key any more, from the next one on."""
    app = connect()
    with database_errors(), app.engine.database.begin() as connection:
        key = keys.revoke(connection, key_id, by=actor or login_name())
    if current().json:
        print_json(_told(key))
    else:
        console.print(f"{key.key_id} of {escape(repr(key.name))} is revoked", soft_wrap=True)


def audit(
    *,
    limit: Annotated[int, typer.Option(help="So many; 1 to 500.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="nextCursor of the page before.")] = None,
) -> None:
    """Tell what operators did, keys that were made and revoked, and what was refused to whom."""
    app = connect()
    with database_errors(), app.engine.database.connect() as connection:
        page = list_audit(connection, limit=limit, cursor=cursor)
    if current().json:
        print_json(page)
        return
    if not page["items"]:
        console.print("nothing was done or refused")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("at", "who", "outcome", "what", "of", "why"):
        table.add_column(column)
    for entry in page["items"]:
        table.add_row(
            f"{entry['at'][:19]}Z",
            escape(entry["actor"] or "nobody known"),
            "[red]refused[/]" if entry["outcome"] == "refused" else "done",
            escape(entry["action"]),
            escape(entry["sagaId"] or entry["target"] or ""),
            escape(entry["why"] or ""),
        )
    console.print(table, soft_wrap=True)
    if page["nextCursor"]:
        console.print(f"more: the same with --cursor {page['nextCursor']}", soft_wrap=True)


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        raise UsageError(f"--role {text!r} is none of {', '.join(Role)}") from None


def _duration(text: str) -> timedelta:
    try:
        return duration("--expires", text)
    except BadFilter as error:
        raise UsageError(str(error)) from None


def _told(key: keys.Key) -> dict[str, Any]:
    return {
        "keyId": key.key_id,
        "name": key.name,
        "role": key.role.value,
        "createdAt": iso(key.created_at),
        "createdBy": key.created_by,
        "expiresAt": None if key.expires_at is None else iso(key.expires_at),
        "revokedAt": None if key.revoked_at is None else iso(key.revoked_at),
        "revokedBy": key.revoked_by,
    }


def _until(key: keys.Key) -> str:
    return "" if key.expires_at is None else f", until {iso(key.expires_at)[:19]}Z"


def _standing(key: keys.Key) -> str:
    if key.revoked_at is not None:
        return f"[red]revoked by {escape(key.revoked_by or '')}[/]"
    return "[red]expired[/]" if key.is_expired else f"[green]good[/]{_until(key)}"
