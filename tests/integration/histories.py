"""What can happen in a history of several sagas, drawn by hypothesis; audited after each step."""

import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from sqlalchemy.exc import OperationalError

from saga import BusinessKeyTaken
from tests.integration.audit import ENDS, Audit
from tests.integration.by_hand import Killed
from tests.integration.market import Market, Place
from tests.integration.provider import FREEZES, Act

TASKS = ["reserve", "ship", "pay", "book", "tell", "release", "recall", "find_pay"]
TIMES = [timedelta(seconds=each) for each in (1, 2, 3, 5, 10, 10, 35, 60)]
LONG_TIMES = [timedelta(minutes=each) for each in (10, 30, 60, 24 * 60)]
# Rounds of recovery, a minute apart, in which every saga must have come to rest.
PATIENCE = 150

which = st.integers(0, 5)
acts = st.sampled_from([*Act, Act.WELL, Act.WELL, Act.CUT_BEFORE, Act.CUT_LATE])
moving_acts = st.sampled_from([act for act in Act if act not in FREEZES])
times = st.sampled_from([*TIMES, *TIMES, *TIMES, *TIMES, *LONG_TIMES])
again = st.sampled_from([None, False, True])
points = st.sampled_from([1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10])
troubles = st.sampled_from(["dies", "database away", "commit unheard"])
business_keys = st.sampled_from([None, "order:1", "order:2"])
idempotency_keys = st.sampled_from([None, "key:1"])

deeds = st.sampled_from(["pause", "resume", "resume", "cancel", "retry"])
paused = st.sampled_from([None, "shop.ship", "shop.pay", "shop.book"])

waiting = precondition(lambda self: self.market.broker.queue)


class Histories(RuleBasedStateMachine):
    """One history. ``counts`` is what all of them went through."""

    def __init__(self, place: Place, counts: Counter[str]) -> None:
        super().__init__()
        self.market = Market(place)
        self.audit = Audit(self.market)
        self.counts = counts
        self.away = 0

    @initialize(
        sagas=st.integers(1, 3),
        habits=st.dictionaries(st.sampled_from(TASKS), moving_acts, max_size=3),
    )
    def begin(self, *, sagas: int, habits: dict[str, Act]) -> None:
        """Some sagas, and what their steps do in this history unless told otherwise."""
        self.market.habits = habits
        for number in range(sagas):
            self.market.start(business_key=f"order:{number}")

    @precondition(lambda self: len(self.market.sagas) < 4)
    @rule(business_key=business_keys, idempotency_key=idempotency_keys)
    def start(self, **keys: str | None) -> None:
        before = dict(self.market.sagas)
        known, holder = (
            keys["idempotency_key"] in before.values(),
            self.holder(keys["business_key"]),
        )
        try:
            started = self.market.start(**keys)
        except BusinessKeyTaken as error:
            taken: UUID | None = error.saga_id
        except OperationalError:
            return  # its producer is told, and nothing was started
        else:
            taken = None
            assert started.is_new != known
            assert not known or before[started.saga_id] == keys["idempotency_key"]
        assert taken == (None if known else holder)

    def holder(self, business_key: str | None) -> UUID | None:
        if business_key is None:
            return None
        for saga_id, row in self.audit.rows.items():
            if row["business_key"] == business_key and row["holds_key"]:
                return saga_id
        return None

    @waiting
    @rule(which=which, act=acts, again=again)
    def work(self, *, which: int, act: Act, again: bool | None) -> None:
        """A message is worked: the first, as a rule."""
        queue = self.market.broker.queue
        index = 0 if which > 2 else which % len(queue)
        message = queue[index]
        del queue[index]
        self.market.work(message, act, again=again)

    @waiting
    @rule(times=st.integers(1, 5))
    def work_well(self, *, times: int) -> None:
        queue = self.market.broker.queue
        for _ in range(min(times, len(queue))):
            self.market.work(queue.popleft())

    @waiting
    @rule(act=acts, then=acts, redelivered=st.booleans())
    def work_twice(self, *, act: Act, then: Act, redelivered: bool) -> None:
        message = self.market.broker.queue.popleft()
        self.market.work(message, act)
        self.market.work(replace(message, redelivered=redelivered), then)

    @precondition(lambda self: self.market.seen)
    @rule(which=which, act=acts, redelivered=st.booleans())
    def work_again(self, *, which: int, act: Act, redelivered: bool) -> None:
        """A message that was worked before comes once more, late."""
        message = self.market.seen[-1 - which % len(self.market.seen)]
        self.market.work(replace(message, redelivered=redelivered), act)

    @waiting
    @rule(act=acts, number=points, trouble=troubles, again=again)
    def work_in_trouble(self, *, act: Act, number: int, trouble: str, again: bool | None) -> None:
        message = self.market.broker.queue.popleft()
        if trouble == "commit unheard":
            # A claim or a count that landed unheard is an attempt that nobody knows of.
            self.market.provider.failures[message.saga_id, message.step] += 1
        with self.market.at_point(number, self.trouble(trouble)):
            self.market.work(message, act, again=again)

    @rule(number=points, trouble=troubles)
    def recover_in_trouble(self, *, number: int, trouble: str) -> None:
        with suppress(Killed), self.market.at_point(number, self.trouble(trouble)):
            self.market.recover()

    def trouble(self, kind: str) -> Callable[[str], None]:
        def happen(point: str) -> None:
            self.counts[kind] += 1
            if kind == "dies":
                raise Killed
            if kind == "database away":
                self.market.place.disconnect_all()
            elif point == "after commit":
                raise OperationalError("COMMIT", {}, Exception("connection lost"))

        return happen

    @rule(trouble=st.sampled_from(["loses one", "loses all", "is away"]), steps=which)
    def broker(self, *, trouble: str, steps: int) -> None:
        broker = self.market.broker
        if trouble == "is away":
            broker.is_away, self.away = True, steps
        elif trouble == "loses all":
            broker.lose_all()
        elif broker.queue:
            del broker.queue[steps % len(broker.queue)]

    @rule(time=times)
    def let_pass(self, *, time: timedelta) -> None:
        self.market.let_pass(time)

    @rule(time=times)
    def recover(self, *, time: timedelta) -> None:
        self.market.let_pass(time)
        self.market.recover()

    @rule()
    def recover_twice_at_once(self) -> None:
        self.market.recover_twice_at_once()

    @precondition(lambda self: self.market.frozen)
    @rule(which=which, act=moving_acts, again=again)
    def wake(self, *, which: int, act: Act, again: bool | None) -> None:
        frozen = self.market.frozen
        self.market.wake(frozen[which % len(frozen)], act, again=again)

    @precondition(lambda self: self.market.frozen)
    @rule(which=which)
    def beat(self, *, which: int) -> None:
        self.market.beat(self.market.frozen[which % len(self.market.frozen)])

    @precondition(lambda self: self.market.provider.orders)
    @rule(which=which, does=st.booleans())
    def carry_out(self, *, which: int, does: bool) -> None:
        """The provider does what it was ordered, or never will."""
        orders = self.market.provider.orders
        order = orders[which % len(orders)]
        if does:
            self.market.provider.carry_out(order)
        else:
            orders.remove(order)

    @rule(which=which, number=st.integers(1, 3))
    def signal(self, *, which: int, number: int) -> None:
        """What a saga may wait for comes: early, late, in vain, or once more."""
        sagas = list(self.market.sagas)
        self.market.signal(sagas[which % len(sagas)], f"signal:{number}")

    @rule(which=which, what=deeds)
    def operate(self, *, which: int, what: str) -> None:
        """What a person may do while a saga is at work. FAILED ones are left as they are."""
        sagas = list(self.market.sagas)
        saga_id = sagas[which % len(sagas)]
        if self.audit.rows[saga_id]["status"] != "FAILED":
            self.market.operate(what, saga_id)

    @rule(step=paused)
    def pause(self, *, step: str | None) -> None:
        """The shop, or one step of it, is paused; or goes on."""
        self.market.pause(step)

    @rule(which=which)
    def link_error(self, *, which: int) -> None:
        """It comes although nothing failed, or once more."""
        sagas = list(self.market.sagas)
        self.market.link_error(sagas[which % len(sagas)])

    @invariant()
    def all_is_right(self) -> None:
        self.audit.look()
        self.away -= 1
        if self.away < 0:
            self.market.broker.is_away = False

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.come_to_rest()
        finally:
            self.market.close()

    def come_to_rest(self) -> None:
        """All is mended: each saga rests, or asks a person, and what rests is true."""
        self.market.mend()
        for _ in range(PATIENCE):
            self.round(timedelta(minutes=1))
            if all(row["status"] in ENDS for row in self.audit.rows.values()):
                break
        for _ in range(10):
            self.round(timedelta(minutes=10))
            self.round(timedelta(hours=24))
            if all(row["wake_at"] is None for row in self.audit.rows.values()):
                break
        self.audit.look_at_rest()
        self.counts["histories"] += 1
        self.counts["sagas"] += len(self.market.sagas)
        self.counts.update(row["status"] for row in self.audit.rows.values())

    def round(self, time: timedelta) -> None:
        self.market.let_pass(time)
        self.market.recover()
        self.market.work_off()
        self.audit.look()
