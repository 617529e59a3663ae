"""How a command acts on many sagas: with progress on a terminal, else line by line."""

from saga.bulk import Bulk, Tried
from saga.cli.database import database_errors
from saga.cli.errors import CliError
from saga.cli.invocation import current
from saga.cli.output import console, print_json
from saga.cli.progress import Counter, counting


def tell_many(bulk: Bulk, *, most: int) -> None:
    """Act on each saga of the list. Raises CliError in the end where some were refused."""
    acted = refused = 0
    with database_errors(), counting() as counter:
        for tried in bulk:
            acted += tried.acted is not None
            refused += tried.refusal is not None
            _tell(tried, counter)
            count = acted + refused
            counter.tell(count, f"{acted} done, {refused} refused", of=bulk.total)
    if current().json:
        print_json({"acted": acted, "refused": refused, "more": bulk.more})
    else:
        console.print(f"{acted} done, {refused} refused")
        if bulk.more:
            console.print(f"there are more than {most}: run it again, or raise --most")
    if refused:
        raise CliError(f"{refused} of {acted + refused} sagas were refused")


def _tell(tried: Tried, counter: Counter) -> None:
    saga_id = str(tried.saga_id)
    if current().json:
        said = {"error": str(tried.refusal)}
        if tried.acted is not None:
            said = {"status": tried.acted.status.value}
        print_json({"sagaId": saga_id, **said})
    elif tried.acted is None:
        console.print(f"{saga_id}: {tried.refusal}", soft_wrap=True, markup=False)
    elif not counter.is_shown:
        console.print(f"{saga_id} is {tried.acted.status}", soft_wrap=True)
