"""The provider, asked by the real libraries, and killed: its death.

Our gateways are not used here: this is a second opinion on the wire.
"""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.wires import Process, Wechat, until

pytest_plugins = ["tests.integration.merchant", "tests.integration.wired"]


def test_books_and_keys_survive_kill_9(process: Process) -> None:
    wechat = Wechat(process)
    wechat.refund("R1", 6_000)
    wechat.refund("R1", 6_000)

    process.kill()
    with pytest.raises(OSError):  # noqa: PT011
        wechat.find("R1")
    process.start()

    assert process.books() == {"R1": ("60.00", "SUCCESS", 2)}
    assert wechat.refund("R2", 4_001) == "INVALID_REQUEST"


def test_every_answered_refund_survives_kill_9_in_the_middle_of_many(process: Process) -> None:
    process.know("PAY9", "wechat", "100000.00")
    answered: list[str] = []

    def refund_until_it_dies(thread: int) -> None:
        door = Wechat(process, timeout_seconds=5)
        with contextlib.suppress(OSError):
            for number in range(10_000):
                refund_no = f"R{thread}-{number}"
                said = door.refund(refund_no, 1, payment_no="PAY9", total_minor=10_000_000)
                assert said == "SUCCESS"
                answered.append(refund_no)

    threads = [threading.Thread(target=refund_until_it_dies, args=(each,)) for each in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: len(answered) > 100)
    process.kill()
    for thread in threads:
        thread.join()
    process.start()

    assert set(answered) <= set(process.books())


def test_late_and_processing_are_done_although_the_provider_was_dead_when_they_were_due(
    process: Process,
) -> None:
    wechat = Wechat(process)
    process.fault("late", seconds=0.5)
    with pytest.raises(OSError):  # noqa: PT011
        wechat.refund("R1", 5_000)
    process.fault("processing", seconds=0.5)
    wechat.refund("R2", 5_000)

    process.kill()
    process.start()

    done = {"R1": ("50.00", "SUCCESS", 1), "R2": ("50.00", "SUCCESS", 1)}
    until(lambda: process.books() == done)


def test_late_waits_for_its_time_across_a_restart(process: Process) -> None:
    process.fault("late", seconds=60)
    with pytest.raises(OSError):  # noqa: PT011
        Wechat(process).refund()

    process.kill()
    process.start()

    assert process.books() == {}


def test_three_hundred_held_calls_do_not_hold_up_the_others(process: Process) -> None:
    process.know("PAY9", "wechat", "1000.00")
    process.fault("hang", times=150, seconds=6, paymentNo="PAY1")
    process.fault("slow", times=150, seconds=6, paymentNo="PAY1")
    wechat = Wechat(process, timeout_seconds=30)
    with ThreadPoolExecutor(300) as threads:

        def one(number: int) -> str:
            try:
                return wechat.refund(f"R{number}", 10)
            except OSError:
                return "cut"

        held = [threads.submit(one, number) for number in range(300)]
        until(lambda: process.pending() == 0)
        quick = Wechat(process, timeout_seconds=2)
        assert quick.refund("Q1", 1, payment_no="PAY9", total_minor=100_000) == "SUCCESS"
        assert not all(each.done() for each in held)

        assert sorted(each.result() for each in held) == ["SUCCESS"] * 150 + ["cut"] * 150

    assert len(process.books()) == 151


def test_the_provider_stops_in_time_although_calls_are_held(process: Process) -> None:
    process.fault("hang", seconds=60)
    with ThreadPoolExecutor(1) as thread:
        held = thread.submit(Wechat(process, timeout_seconds=30).refund)
        until(lambda: process.pending() == 0)

        process.stop()

        # Cut off, or told 500 in the last moment, by a page that is not WeChat Pay's.
        with contextlib.suppress(OSError, ValueError):
            assert held.result() != "SUCCESS"
    process.log.write_text("")  # uvicorn complains of the call it had to end
