"""Every statement that writes, one function each, cut by verb.

Each takes the row as its caller locked it, writes the transition and its event in one statement,
and names the epoch, the claim and the version that it expects. A False or None means that somebody
moved the saga first: then nothing was written, and the caller must do nothing either.
"""

from saga.store.backward import compensate, fail, rest
from saga.store.claims import claim, count_attempt, renew_lease, uncount_attempt
from saga.store.forward import advance, ask_probe, complete, insert, poll, retry
from saga.store.transition import Record
from saga.store.watch import beat, dispatch, look_again, miss_definition, note, postpone, put_off

__all__ = [
    "Record",
    "advance",
    "ask_probe",
    "beat",
    "claim",
    "compensate",
    "complete",
    "count_attempt",
    "dispatch",
    "fail",
    "insert",
    "look_again",
    "miss_definition",
    "note",
    "poll",
    "postpone",
    "put_off",
    "renew_lease",
    "rest",
    "retry",
    "uncount_attempt",
]
