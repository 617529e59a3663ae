"""``saga seed``: something to work on, as if customers had paid."""

from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError
from rich.table import Table
from sqlalchemy import Engine

from commands.payments import SandboxAway, make_payments
from commands.quotas import make_users
from models import PaymentMethod, PaymentView, QuotaView
from saga.cli import connect, current, print_json
from saga.cli.errors import CliError, UsageError, translate
from saga.cli.inputs import faults
from saga.cli.output import console
from settings import settings
from workflows.payment_refund import Money

translate(SandboxAway, CliError)

_MOST = 100_000
_MOST_DEVICES = 1_000
_MOST_SHOWN = 20


def seed(
    *,
    payments: Annotated[
        int | None, typer.Option(min=1, max=_MOST, help="How many; 1 if no users are made either.")
    ] = None,
    amount: Annotated[str, typer.Option(help="Of each, from 0.01 to 1000000.00.")] = "100.00",
    method: Annotated[PaymentMethod, typer.Option(help="How they were paid.")] = (
        PaymentMethod.WECHAT
    ),
    users: Annotated[
        int | None, typer.Option(min=1, max=_MOST, help="How many users who may have devices.")
    ] = None,
    devices: Annotated[
        int, typer.Option(min=0, max=_MOST_DEVICES, help="How many each of them may have.")
    ] = 5,
) -> None:
    """Make successful payments, known to the sandbox provider, or users with quotas of devices."""
    if payments is None and users is None:
        payments = 1
    paid = None if payments is None else _payments(payments, amount, method)
    allowed = None if users is None else make_users(_database(), count=users, devices=devices)
    if current().json:
        told: dict[str, Any] = {}
        if paid is not None:
            told["payments"] = [payment.model_dump(by_alias=True) for payment in paid]
        if allowed is not None:
            told["users"] = [_user(quota) for quota in allowed]
        print_json(told)
        return
    if paid is not None:
        _show_payments(paid)
    if allowed is not None:
        _show_users(allowed)


def _database() -> Engine:
    return connect().engine.database


def _payments(count: int, amount: str, method: PaymentMethod) -> list[PaymentView]:
    return make_payments(
        _database(),
        sandbox_url=settings.sandbox_url,
        count=count,
        amount_minor=_minor(amount),
        method=method,
        api_url=settings.saga_api_url,
    )


def _minor(amount: str) -> int:
    try:
        return int(TypeAdapter(Money).validate_python(amount).scaleb(2))
    except ValidationError as error:
        raise UsageError(f"amount: {'; '.join(faults(error))}") from error


def _user(quota: QuotaView) -> dict[str, Any]:
    return {"id": quota.user_id, "quota": quota.model_dump(by_alias=True, mode="json")}


def _show_payments(made: list[PaymentView]) -> None:
    several = "s" if len(made) > 1 else ""
    table = Table(title=f"{len(made)} payment{several} made", title_justify="left")
    for column in ("payment", "number", "method", "amount"):
        table.add_column(column, overflow="fold")
    for payment in made[:_MOST_SHOWN]:
        amount = f"{payment.amount} {payment.currency}"
        table.add_row(payment.id, payment.payment_no, payment.method, amount)
    _print(table, left=len(made) - _MOST_SHOWN)
    asked = f'{{"paymentId": "{made[0].id}", "amount": "{made[0].amount}", "reason": "a try"}}'
    console.print(f"refund one: saga start payment_refund --input '{asked}'", soft_wrap=True)


def _show_users(made: list[QuotaView]) -> None:
    several = "s" if len(made) > 1 else ""
    table = Table(title=f"{len(made)} user{several} made", title_justify="left")
    for column in ("user", "devices"):
        table.add_column(column, overflow="fold")
    for quota in made[:_MOST_SHOWN]:
        table.add_row(quota.user_id, str(quota.devices))
    _print(table, left=len(made) - _MOST_SHOWN)
    asked = f'{{"userId": "{made[0].user_id}", "name": "a try"}}'
    console.print(f"create a device: saga start device_creation --input '{asked}'", soft_wrap=True)


def _print(table: Table, *, left: int) -> None:
    console.print(table)
    if left > 0:
        console.print(f"… and {left} more; --json shows all")
