"""One saga driven from its start to its end, whatever strikes on the way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from saga import Timing
from saga.crashpoints import armed
from tests.integration.by_hand import Killed, Message
from tests.integration.crashes.deed import Deed
from tests.integration.crashes.desk import Desk
from tests.integration.crashes.fate import FREEZES, Fates, Point, Then

MOST_DELIVERIES = 400
MOST_TRIES = 3
POINTS_OF_A_RENEWAL = 3
A_MOMENT = timedelta(milliseconds=20)


@dataclass(frozen=True, kw_only=True)
class History:
    """What goes wrong anyway, and how the saga may end.

    ``prepare`` comes before the start; ``idle`` whenever nobody has a message, with how many times
    that was so. ``freezes`` names a point where the first to come freezes. ``deeds`` are done in
    their order, each as soon as it is its time.
    """

    name: str
    ends: frozenset[str] = frozenset({"COMPLETED"})
    faults: Sequence[dict[str, Any]] = ()
    prepare: Callable[[Any], None] = lambda _: None
    idle: Callable[[Any, int], None] = lambda _, __: None
    deeds: Sequence[Deed] = ()
    freezes: tuple[str, Then] | None = None
    first_is_redelivered: bool = False
    timing: Timing = field(default_factory=Timing)


@dataclass
class Run:
    """A history under way, in which whatever is in ``strikes`` strikes, each once."""

    desk: Desk
    history: History
    strikes: dict[Point, Then] = field(default_factory=dict)
    struck: list[Point] = field(default_factory=list)
    fates: Fates = field(default_factory=Fates)
    _seen: list[Message] = field(default_factory=list)
    _late: list[Message] = field(default_factory=list)
    _deeds: list[Deed] = field(default_factory=list)
    _idle: int = 0
    _then: Then = Then.GIVEN_BACK
    _frozen_by_history: bool = False

    @property
    def points(self) -> list[Point]:
        """The points of the history; of a heartbeat's many renewals, the first alone."""
        return [
            point
            for point in self.fates.reached
            if not point.is_heartbeat or point.number < POINTS_OF_A_RENEWAL
        ]

    def go(self) -> "Run":
        for fault in self.history.faults:
            self.desk.fault(fault)
        self.history.prepare(self.desk)
        self._deeds = list(self.history.deeds)
        self.desk.during_calls(self._meanwhile)
        self.fates.strikes.append(self._strike)
        with armed(self.fates):
            self._start()
            self._drive()
        return self

    def _strike(self, point: Point) -> None:
        planned = self.strikes.get(point)
        if planned is not None and point not in self.struck:
            self.struck.append(point)
            self._meet(planned)
        elif self.history.freezes and not self._frozen_by_history:
            name, then = self.history.freezes
            if point.name == name:
                self._frozen_by_history = True
                self._meet(then)

    def _meet(self, then: Then) -> None:
        if then not in FREEZES:
            self._then = then
            self.fates.die()
        in_hand = self.desk.in_hand
        self._take_over(until_rest=then is Then.THAWS_LATE)
        self.desk.in_hand = in_hand

    def _take_over(self, *, until_rest: bool) -> None:
        """What others do while a process stands still."""
        if self.desk.saga_id() is None:
            return
        if until_rest:
            self._drive(until_rest=True)
            return
        if self._is_time_for_a_deed():
            self._do()
        else:
            self._pass_until_due()
            self._alive(self.desk.recover)
        if self.desk.broker.queue:
            self._deliver()

    def _meanwhile(self, call: str) -> None:
        """What people do while another system is called."""
        if self._deeds and self._deeds[0].during == call:
            self._do()

    def _is_time_for_a_deed(self) -> bool:
        if not self._deeds:
            return False
        idle = not (self.desk.broker.queue or self.desk.broker.held)
        return self._deeds[0].is_due(self.desk.stands, idle=idle)

    def _do(self) -> None:
        """Somebody who got no answer does it again."""
        deed, in_hand = self._deeds.pop(0), self.desk.in_hand
        for _ in range(MOST_TRIES):
            if self._alive(lambda: deed.do(self.desk)):
                break
        self.desk.in_hand = in_hand

    def _start(self) -> None:
        # A producer that got no answer asks again, with the same key.
        for _ in range(MOST_TRIES):
            if self._alive(self.desk.start):
                return
        raise AssertionError("nobody could start it")

    def _drive(self, *, until_rest: bool = False) -> None:
        broker = self.desk.broker
        for _ in range(MOST_DELIVERIES):
            if until_rest and self.desk.is_at_rest():
                return
            if self._is_time_for_a_deed():
                self._do()
            elif broker.queue:
                self._deliver()
            elif broker.held:
                wait, message = broker.held.pop(0)
                self.desk.let_pass(wait)
                broker.queue.append(message)
            elif self.desk.until_due() is not None:
                self._idle += 1
                self.history.idle(self.desk, self._idle)
                self._pass_until_due()
                self._alive(self.desk.recover)
            elif self._late:
                broker.queue.extend(self._late)
                self._late.clear()
            else:
                return
        raise AssertionError("no end")

    def _deliver(self) -> None:
        message = self.desk.broker.queue.popleft()
        if self.history.first_is_redelivered and not self._seen:
            message = replace(message, redelivered=True)
        self._seen.append(message)
        self._alive(lambda: self.desk.deliver(message))

    def _pass_until_due(self) -> None:
        due = self.desk.until_due()
        if due is not None:
            self.desk.let_pass(max(due, timedelta(0)) + A_MOMENT)

    def _alive(self, act: Callable[[], object]) -> bool:
        """Whether the process that acts lived on; if not, the broker finds that out."""
        self.desk.in_hand = None
        try:
            act()
        except Killed:
            self._give_back(self.desk.in_hand)
            if self.desk.saga_id() is not None and self.desk.until_due() is not None:
                may = self.desk.another_may_start()
                assert may == self.desk.is_at_rest(), "8: two refunds of one payment"
            return False
        return True

    def _give_back(self, message: Message | None) -> None:
        broker = self.desk.broker
        again = [] if message is None else [replace(message, redelivered=True)]
        match self._then:
            case Then.GIVEN_BACK:
                broker.queue.extendleft(again)
            case Then.GIVEN_BACK_TWICE:
                broker.queue.extendleft(again * 2)
            case Then.GIVEN_BACK_LATE:
                self._late += again
            case Then.ALL_LOST:
                broker.lose_all()
            case Then.ALL_AGAIN:
                seen = [replace(each, redelivered=True) for each in reversed(self._seen)]
                broker.queue.extend(seen)
