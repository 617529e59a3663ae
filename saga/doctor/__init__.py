"""What ``saga doctor`` knows: facts are gathered, then judged by pure checks."""

from saga.application import SagaApp
from saga.doctor.checks import examine
from saga.doctor.finding import Finding, Level
from saga.doctor.gatherer import gather
from saga.doctor.settings import examine_settings

__all__ = ["Finding", "Level", "diagnose"]


def diagnose(app: SagaApp) -> list[Finding]:
    """Look at the whole stack and say what is well and what is not. Takes some seconds."""
    facts = gather(app)
    return [*examine(facts), *examine_settings(facts.celery), *app.findings()]
