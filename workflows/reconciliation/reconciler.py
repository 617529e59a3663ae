"""Goes through refunds, asks their providers, and puts on file what differs.

No question is asked inside a transaction, and any number of passes may run at once: what they write
is what they saw last. One refund that cannot be compared does not stop the others.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from gateways.account import AccountFaulty
from gateways.payments import NumberReused, PaymentGateway
from saga import Engine, SagaError, Status
from saga.database import is_away
from saga.logs import traced
from saga.masks import mask_for_logs
from tasks.doors import NoSuchDoor, payment_gateway
from workflows.reconciliation import checks
from workflows.reconciliation.comparison import Answer, Finding, Ours, compare

log = structlog.get_logger("saga")

RECONCILE = "payment_refund.reconcile"
WINDOW = timedelta(hours=48)
# A pass by beat: it takes one of the workers' processes, which is then not there for sagas.
_MOST = 100
_WITHIN = timedelta(minutes=1)
LIMIT = timedelta(minutes=2)
# A provider that is away costs a time-out with each question: a few say enough.
_SILENT = 3


@dataclass
class Reconciled:
    """What one pass came to, in refund sagas.

    ``checked``: the provider answered. ``under_way``: the engine is still at it. ``not_answered``:
    to be asked again next time.
    """

    due: int = 0
    checked: int = 0
    under_way: int = 0
    not_answered: int = 0


class Reconciler:
    """Reconciles an engine's refunds. ``door`` gives the gateway of a payment method."""

    def __init__(
        self, engine: Engine, *, door: Callable[[str], PaymentGateway] = payment_gateway
    ) -> None:
        self._engine = engine
        self._door = door

    def run(
        self,
        *,
        window: timedelta = WINDOW,
        most: int | None = None,
        within: timedelta | None = None,
        progress: Callable[[Reconciled], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Reconciled:
        """Compare what is due, the longest unasked first: at most ``most``, begun ``within`` this.

        Raises what the database raises when it is away; what was compared until then is on file.
        """
        ends_at = None if within is None else clock() + within.total_seconds()
        silent: Counter[str] = Counter()
        sagas, done = self._due(window, most)
        for saga_id in sagas:
            if ends_at is not None and clock() >= ends_at:
                break
            try:
                self._compare(saga_id, done, silent)
            except Exception as error:
                if is_away(error):
                    raise
                done.not_answered += 1
                told = self._hidden(saga_id, traced(error))
                log.error("refund not compared", saga_id=str(saga_id), exception=told)  # noqa: TRY400 - with no locals
            progress(replace(done))
        return done

    def scan(self) -> Reconciled:
        """Do what beat asks for: a pass that ends within LIMIT. Of what it left, the next one.

        A database that is away is only logged.
        """
        done = Reconciled()
        try:
            done = self.run(most=_MOST, within=_WITHIN)
        except DBAPIError as error:
            if not is_away(error):
                raise
            log.warning("database away, the next pass tries again", why=type(error).__name__)
        else:
            log.info(
                "reconciled",
                checked=done.checked,
                under_way=done.under_way,
                not_answered=done.not_answered,
            )
        return done

    def _due(self, window: timedelta, most: int | None) -> tuple[list[UUID], Reconciled]:
        with Session(self._engine.database) as session, session.begin():
            checks.follow(session, window=window)
            sagas = checks.due(session, window=window, most=most)
            return sagas, Reconciled(due=len(sagas), under_way=checks.at_work(session))

    def _compare(self, saga_id: UUID, done: Reconciled, silent: Counter[str]) -> None:
        with Session(self._engine.database) as session, session.begin():
            ours = checks.look(session, saga_id)
        if ours is None:
            log.error("alarm", saga_id=str(saga_id), why="the refund's payment cannot be found")
            done.not_answered += 1
            return
        if ours.status in checks.AT_WORK:
            done.under_way += 1
            return
        if silent[ours.method] >= _SILENT:
            done.not_answered += 1
            return
        theirs = self._ask(ours, silent)
        if theirs is None:
            done.not_answered += 1
            return
        told, findings = self._tell(ours, compare(ours, theirs))
        with Session(self._engine.database) as session, session.begin():
            is_written = checks.write(session, ours, findings, told=told)
        if is_written:
            done.checked += 1
        else:
            done.under_way += 1

    def _ask(self, ours: Ours, silent: Counter[str]) -> dict[str, Answer] | None:
        """Ask for every number of the saga; None where one of the answers did not come."""
        theirs: dict[str, Answer] = {}
        try:
            gateway = self._door(ours.method)
        except (NoSuchDoor, AccountFaulty) as error:
            # Told once: no other refund of the method can be asked about in this pass.
            silent[ours.method] = _SILENT
            log.warning(
                "not set up to ask the provider",
                method=ours.method,
                why=f"{ours.method} is not set up here: {error}",
            )
            self._asked_in_vain(ours)
            return None
        try:
            for key in ours.keys:
                theirs[key] = _answer(gateway, key, payment_no=ours.payment_no)
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing was learnt
            silent[ours.method] += 1
            log.warning(
                "provider did not answer",
                saga_id=str(ours.saga_id),
                method=ours.method,
                why=self._hidden(ours.saga_id, f"{type(error).__name__}: {error}"),
            )
            self._asked_in_vain(ours)
            return None
        silent[ours.method] = 0
        return theirs

    def _hidden(self, saga_id: UUID, text: str) -> str:
        """For logs: without what is sensitive of the saga, should a provider repeat it."""
        return mask_for_logs(self._engine.database, self._engine.registry, saga_id).text(text)

    def _asked_in_vain(self, ours: Ours) -> None:
        with Session(self._engine.database) as session, session.begin():
            checks.note_asked(session, ours)

    def _tell(self, ours: Ours, findings: Iterable[Finding]) -> tuple[bool, list[Finding]]:
        """Tell the saga of each success that it gave up; what it knew, a person has dealt with."""
        told, left = False, []
        for finding in findings:
            known = False
            if finding.is_unbooked_success and ours.status is not Status.COMPLETED:
                is_news = self._late_success(ours, finding)
                told = told or is_news is True
                # A saga that was told before was FAILED, and rests now because a person had it
                # rest. Of an earlier number it is only told: it does not become FAILED.
                was_failed = ours.status is not Status.FAILED and finding.refund_no == ours.keys[-1]
                known = is_news is False and was_failed
            left.append(replace(finding, difference=None) if known else finding)
        return told, left

    def _late_success(self, ours: Ours, finding: Finding) -> bool | None:
        """Whether it was news to the saga; None where it cannot be told now: at the next pass."""
        try:
            with Session(self._engine.database) as session, session.begin():
                return self._engine.late_success(
                    session, ours.saga_id, key=finding.refund_no, actor="reconcile"
                )
        except (SagaError, DBAPIError) as error:
            if is_away(error):
                raise
            # Such as another refund of the payment that is under way and has its business key.
            log.warning(
                "late success not told yet",
                saga_id=str(ours.saga_id),
                refund_no=str(finding.refund_no),
                why=f"{type(error).__name__}: {error}".partition("\n")[0],
            )
            return None


def _answer(gateway: PaymentGateway, key: str, *, payment_no: str) -> Answer:
    try:
        return gateway.find_refund(key, payment_no=payment_no)
    except NumberReused as reused:
        return reused
