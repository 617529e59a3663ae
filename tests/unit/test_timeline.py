"""Events in plain words."""

from typing import Any

import pytest

from saga.timeline import entries, outcome, took


def event(kind: str, **detail: Any) -> dict[str, Any]:
    return {
        "at": "2026-07-01T12:00:00.000000Z",
        "kind": kind,
        "step": "refund.call",
        "attempt": 2,
        "worker": "worker1@here",
        "actor": None,
        "duration": 0.0123,
        "detail": detail,
    }


def test_an_entry_has_step_attempt_outcome_duration_and_worker() -> None:
    later = event("step_done") | {"at": "2026-07-01T12:00:01.500000Z"}

    _, entry = entries([event("started"), later], "refund")

    assert (entry.after_seconds, entry.step, entry.attempt) == (1.5, "call", 2)
    assert (entry.outcome, entry.duration, entry.worker) == ("done", "12 ms", "worker1@here")


def test_a_person_stands_where_a_worker_would() -> None:
    [entry] = entries([event("paused", because="a holiday") | {"actor": "ann"}], "refund")

    assert (entry.worker, entry.outcome) == ("ann", "paused (a holiday)")


@pytest.mark.parametrize(
    ("happened", "said"),
    [
        (
            event("compensating", reason="cancelled", asked="cancel", because="they called"),
            "cancelled; the saga goes back (cancel: they called)",
        ),
        (
            event("resolved", outcome="not_done", evidence="no mail", because="a look"),
            "found not done: no mail (a look)",
        ),
        (
            event("resolved", outcome="done", evidence="a look", because="a look"),
            "found done: a look",
        ),
        (event("attempt_started", task="refund.call"), "calls"),
        (event("attempt_started", task="refund.find"), "calls find"),
        (event("step_done", found="nothing"), "done (the probe: nothing)"),
        (
            event("step_skipped", reason="was refused", error="Refused: no"),
            "skipped, as it was refused (Refused: no)",
        ),
        (
            event("step_skipped", reason="did not succeed in 4 attempts", completed=True),
            "skipped, as it did not succeed in 4 attempts; the saga is COMPLETED",
        ),
        (
            event("attempt_failed", error="500", again_seconds=2),
            "failed (500); tries again in 2 s",
        ),
        (event("accepted", again_seconds=60), "accepted, not final; asks again in 1 min"),
        (
            event("accepted", again_seconds=1800, signal="paid", reason="SLOW"),
            "accepted, not final (SLOW); asks again in 30 min, or when the signal paid comes",
        ),
        (
            event("waiting", signal="paid", again_seconds=5400),
            "waits for the signal paid, 1 h 30 min at most",
        ),
        (event("sleeping", again_seconds=86400), "sleeps for 1 d"),
        (
            event("signal_received", signal="paid", signalId="s1"),
            "the signal paid came; nothing waits for it yet",
        ),
        (
            event("signalled", signal="paid", signalId="s1"),
            "the signal paid came; the step is called again",
        ),
        (event("retried", asked="retry", because="it is up"), "tried again (retry: it is up)"),
        (
            event("retried", asked="retry", because="it is up", generation=2),
            "tried again, under key 2 (retry: it is up)",
        ),
        (
            event("compensation_ordered", asked="compensate", because="he cancelled"),
            "the saga is to be compensated (compensate: he cancelled)",
        ),
        (
            event("stopping", asked="cancel", because="by mistake", reason="cancelled"),
            "is to stop once the call in hand has ended (cancel: by mistake)",
        ),
        (event("paused", what="step"), "paused, as its step is"),
        (
            event("paused", what="saga", asked="pause", because="a look"),
            "paused (pause: a look)",
        ),
        (event("resumed", because="it is up"), "goes on (it is up)"),
        (event("looked_again", found="nothing"), "looked again (the probe: nothing)"),
        (event("overdue", alarm="it is late"), "overdue: it is late"),
        (
            event("probe_planned", probe="refund.find", after_seconds=30),
            "nobody knows whether it happened; find asks in 30 s",
        ),
        (event("compensating", reason="refused", error="no"), "refused; the saga goes back (no)"),
        (event("compensating", reason="timeout"), "its time is over; the saga goes back"),
        (event("compensated"), "compensated; the saga is COMPENSATED"),
        (event("compensated", error="no"), "the saga is COMPENSATED (no)"),
        (event("timed_out"), "compensated; the saga is TIMEOUT"),
        (event("failed", alarm="ask"), "the saga is FAILED: ask"),
        (event("failed", alarm="ask", error="E: no"), "the saga is FAILED: ask (E: no)"),
        (event("taken_over"), "its worker was lost; recovery takes over"),
        (event("late_success", alarm="it was done"), "late success: it was done"),
        (event("something_new"), "something new"),
    ],
)
def test_each_kind_of_event_reads_as_a_sentence(happened: dict[str, Any], said: str) -> None:
    assert outcome(happened, "refund") == said


def test_durations_are_short() -> None:
    assert [took(None), took(0.0004), took(0.9994), took(1), took(61.25)] == [
        "",
        "0 ms",
        "999 ms",
        "1.0 s",
        "61.2 s",
    ]
