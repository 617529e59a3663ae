"""The refunds to be broken off at every point. With the orders they reach every write."""

from datetime import timedelta

from saga import Timing
from saga.followup import Lane
from tests.integration.crashes.fate import Then
from tests.integration.crashes.history import History
from tests.integration.crashes.refunds import RefundDesk

COMPENSATED = frozenset({"COMPENSATED"})
FAILED = frozenset({"FAILED"})
ALWAYS = 1000
HOUR = timedelta(hours=1).total_seconds()


def refund(kind: str, times: int = 1, seconds: float = 0) -> dict[str, object]:
    return {"operation": "refund", "kind": kind, "times": times, "seconds": seconds}


def query(kind: str, times: int = 1, seconds: float = 0) -> dict[str, object]:
    return {**refund(kind, times, seconds), "operation": "query"}


def away_at_first(desk: RefundDesk) -> None:
    desk.broker.is_away = True


def back(desk: RefundDesk, idle: int) -> None:
    if idle == 1:
        desk.broker.is_away = False


def back_too_late(desk: RefundDesk, idle: int) -> None:
    if idle == 1:
        desk.broker.is_away = False
        desk.let_pass(timedelta(minutes=5))


def busy_for_a_while(desk: RefundDesk, idle: int) -> None:
    desk.broker.is_away = False
    desk.broker.lengths = dict.fromkeys(Lane, 1000 if idle == 1 else 0)


def unknown_for_a_while(desk: RefundDesk, idle: int) -> None:
    desk.broker.is_away = False
    engine = desk.engine_for(timing=desk.engine.timing) if idle == 1 else desk.engine
    desk.recovers_with = engine


def unreadable_for_a_while(desk: RefundDesk, idle: int) -> None:
    desk.broker.is_away = False
    effects = '{"odd": "odd"}' if idle == 1 else "{}"
    if idle in {1, 2}:
        desk.execute(
            "UPDATE saga_state SET effects = CAST(:effects AS jsonb)", {"effects": effects}
        )


REFUNDS = [
    History(name="all goes well"),
    History(name="the provider fails once", faults=[refund("error_before")]),
    History(name="the provider refunds, and says that it failed", faults=[refund("error_after")]),
    History(name="the provider takes its time", faults=[refund("processing", seconds=15)]),
    History(name="the provider is late", faults=[refund("late", seconds=20)]),
    History(name="the provider refuses", faults=[refund("refuse", times=ALWAYS)], ends=COMPENSATED),
    History(
        name="the provider never does it",
        faults=[refund("error_before", times=ALWAYS)],
        ends=COMPENSATED,
    ),
    History(
        name="the provider does not do it, and cannot be asked for a while",
        faults=[refund("hang", times=ALWAYS), query("error_before", times=2)],
        ends=COMPENSATED,
    ),
    History(
        name="the provider does it when all is over",
        faults=[refund("late", times=ALWAYS, seconds=HOUR)],
        ends=FAILED,
    ),
    History(
        name="a call comes when the saga rests",
        faults=[refund("error_before", times=3)],
        freezes=("before call", Then.THAWS_LATE),
        ends=COMPENSATED | FAILED,
    ),
    History(
        name="a call's answer comes while another one is under way",
        freezes=("after call", Then.THAWS),
    ),
    History(
        name="a slow call's lease is renewed",
        faults=[refund("slow", seconds=0.25)],
        timing=Timing(lease=timedelta(milliseconds=450)),
    ),
    History(
        name="booking fails once",
        prepare=lambda desk: desk.make_trouble("INSERT ON refunds FOR EACH ROW", times=1),
    ),
    History(
        name="booking never succeeds",
        prepare=lambda desk: desk.make_trouble("INSERT ON refunds FOR EACH ROW", times=ALWAYS),
        ends=FAILED,
    ),
    History(
        name="the compensation fails once",
        faults=[refund("refuse", times=ALWAYS)],
        prepare=lambda desk: desk.make_trouble(
            "UPDATE ON payments FOR EACH ROW WHEN (NEW.status = 'success')", times=1
        ),
        ends=COMPENSATED,
    ),
    History(
        name="the compensation never succeeds",
        faults=[refund("refuse", times=ALWAYS)],
        prepare=lambda desk: desk.make_trouble(
            "UPDATE ON payments FOR EACH ROW WHEN (NEW.status = 'success')", times=ALWAYS
        ),
        ends=FAILED,
    ),
    History(
        name="a message comes again, and the database is in trouble",
        first_is_redelivered=True,
        prepare=lambda desk: desk.make_trouble(
            "UPDATE ON payments FOR EACH ROW", times=1, code="57P03"
        ),
    ),
    History(name="the broker is away at first", prepare=away_at_first, idle=back),
    History(
        name="the broker is away until the saga's time is over",
        prepare=away_at_first,
        idle=back_too_late,
        ends=frozenset({"TIMEOUT"}),
    ),
    History(name="the queues are long", prepare=away_at_first, idle=busy_for_a_while),
    History(
        name="recovery does not know the saga for a while",
        prepare=away_at_first,
        idle=unknown_for_a_while,
    ),
    History(
        name="recovery cannot read the saga for a while",
        prepare=away_at_first,
        idle=unreadable_for_a_while,
    ),
]
