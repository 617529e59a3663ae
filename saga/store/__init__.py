"""Every statement that writes, one function each, cut by verb.

Each takes the row as its caller locked it, writes the transition and its event in one statement,
and names the epoch, the claim and the version that it expects. A False or None means that somebody
moved the saga first: then nothing was written, and the caller must do nothing either.
"""

from saga.store.backward import compensate, fail, rest
from saga.store.claims import (
    claim,
    count_attempt,
    note_progress,
    renew_lease,
    uncount_attempt,
)
from saga.store.forward import advance, ask_probe, complete, insert, retry
from saga.store.interventions import pause, reopen, resume, sit, stop
from saga.store.pauses import lift, pause_type, resume_type
from saga.store.transition import Record
from saga.store.waits import consume_signal, keep_signal, take_in, wait, wait_on
from saga.store.watch import beat, dispatch, look_again, miss_definition, note, postpone, put_off

__all__ = [
    "Record",
    "advance",
    "ask_probe",
    "beat",
    "claim",
    "compensate",
    "complete",
    "consume_signal",
    "count_attempt",
    "dispatch",
    "fail",
    "insert",
    "keep_signal",
    "lift",
    "look_again",
    "miss_definition",
    "note",
    "note_progress",
    "pause",
    "pause_type",
    "postpone",
    "put_off",
    "renew_lease",
    "reopen",
    "rest",
    "resume",
    "resume_type",
    "retry",
    "sit",
    "stop",
    "take_in",
    "uncount_attempt",
    "wait",
    "wait_on",
]
