"""How a worker proves that it sees the staging folder: it reads a token that was left there."""

from typing import Any

from celery import Celery

from saga.followup import Lane
from tasks.doors import NoSuchDoor, staging

READ = "read_staging_token"
_WITHIN_SECONDS = 1.5


def answer() -> None:
    """Let this worker answer. Call it in a worker alone: what it needs is heavy."""
    from celery.worker.control import inspect_command  # noqa: PLC0415

    @inspect_command(name=READ, args=[("token", str)])  # type: ignore[untyped-decorator]
    def read(state: Any, token: str) -> dict[str, Any]:
        """What the token says, where this worker runs steps at all."""
        queues = {queue.name for queue in state.consumer.task_consumer.queues}
        try:
            said = staging().read_token(token)
        except NoSuchDoor:
            said = None
        return {"runs_steps": not queues.isdisjoint(Lane), "said": said}


def ask(celery: Celery, token: str) -> dict[str, str | None]:
    """What each worker that runs steps reads in the token, by its name."""
    replies = celery.control.broadcast(
        READ, arguments={"token": token}, reply=True, timeout=_WITHIN_SECONDS
    )
    told = {name: said for reply in replies or () for name, said in reply.items()}
    return {name: said.get("said") for name, said in told.items() if said.get("runs_steps")}
