"""How a command acts on many sagas: with progress on a terminal, line by line for programs."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import Progress, SpinnerColumn, TextColumn

from saga.bulk import Bulk, Tried
from saga.cli.database import database_errors
from saga.cli.errors import CliError
from saga.cli.invocation import current
from saga.cli.output import console, print_json


def tell_many(bulk: Bulk, *, most: int) -> None:
    """Act on each saga of the list. Raises CliError in the end where some were refused."""
    acted = refused = 0
    with database_errors(), _progress() as progress:
        task = progress.add_task("", total=None) if progress is not None else None
        for tried in bulk:
            acted += tried.acted is not None
            refused += tried.refusal is not None
            _tell(tried, progress)
            if progress is not None and task is not None:
                progress.update(task, description=f"{acted} done, {refused} refused")
    if current().json:
        print_json({"acted": acted, "refused": refused, "more": bulk.more})
    else:
        console.print(f"{acted} done, {refused} refused")
        if bulk.more:
            console.print(f"there are more than {most}: run it again, or raise --most")
    if refused:
        raise CliError(f"{refused} of {acted + refused} sagas were refused")


@contextmanager
def _progress() -> Iterator[Progress | None]:
    """A line that counts, where a person looks on."""
    if current().json or not console.is_terminal:
        yield None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as progress:
        yield progress


def _tell(tried: Tried, progress: Progress | None) -> None:
    saga_id = str(tried.saga_id)
    if current().json:
        said = {"error": str(tried.refusal)}
        if tried.acted is not None:
            said = {"status": tried.acted.status.value}
        print_json({"sagaId": saga_id, **said})
    elif tried.acted is None:
        console.print(f"{saga_id}: {tried.refusal}", soft_wrap=True, markup=False)
    elif progress is None:
        console.print(f"{saga_id} is {tried.acted.status}", soft_wrap=True)
