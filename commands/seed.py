"""``saga seed``: something to work on, as if customers had paid."""

from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError
from rich.table import Table

from commands.payments import SandboxAway, make_payments
from models import PaymentMethod, PaymentView
from saga.cli import connect, current, print_json
from saga.cli.errors import CliError, UsageError, translate
from saga.cli.inputs import faults
from saga.cli.output import console
from settings import settings
from workflows.payment_refund import Money

translate(SandboxAway, CliError)

_MOST = 100_000
_MOST_SHOWN = 20


def seed(
    *,
    payments: Annotated[int, typer.Option(min=1, max=_MOST, help="How many.")] = 1,
    amount: Annotated[str, typer.Option(help="Of each, from 0.01 to 1000000.00.")] = "100.00",
    method: Annotated[PaymentMethod, typer.Option(help="How they were paid.")] = (
        PaymentMethod.WECHAT
    ),
) -> None:
    """Make successful payments with their orders, known to the sandbox provider."""
    made = make_payments(
        connect().engine.database,
        sandbox_url=settings.sandbox_url,
        count=payments,
        amount_minor=_minor(amount),
        method=method,
        api_url=settings.saga_api_url,
    )
    if current().json:
        print_json({"payments": [payment.model_dump(by_alias=True) for payment in made]})
    else:
        _show(made)


def _minor(amount: str) -> int:
    try:
        return int(TypeAdapter(Money).validate_python(amount).scaleb(2))
    except ValidationError as error:
        raise UsageError(f"amount: {'; '.join(faults(error))}") from error


def _show(made: list[PaymentView]) -> None:
    several = "s" if len(made) > 1 else ""
    table = Table(title=f"{len(made)} payment{several} made", title_justify="left")
    for column in ("payment", "number", "method", "amount"):
        table.add_column(column, overflow="fold")
    for payment in made[:_MOST_SHOWN]:
        amount = f"{payment.amount} {payment.currency}"
        table.add_row(payment.id, payment.payment_no, payment.method, amount)
    console.print(table)
    if len(made) > _MOST_SHOWN:
        console.print(f"… and {len(made) - _MOST_SHOWN} more; --json shows all")
    first = f'{{"paymentId": "{made[0].id}", "amount": "{made[0].amount}", "reason": "a try"}}'
    console.print(f"refund one: saga start payment_refund --input '{first}'", soft_wrap=True)
