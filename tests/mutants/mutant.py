"""What a mutant is: the engine with one guard taken out, and the test that must notice."""

from dataclasses import dataclass

# Every guard whose removal is tried, and which promise it keeps.
GUARDS = {
    "epoch": "7: what was published before a take-over, or before turning back, moves nothing",
    "row lock": "7: whoever decides about a row has it locked, and nobody waits for it",
    "claim": "7: one call at a time; only its claim may settle it",
    "version": "7: a write lands only on the row that was read",
    "place": "7: a message acts only where its saga stands, and not before its time",
    "lease renewal": "7: a live worker keeps its claim, and nobody keeps it past the hard limit",
    "take-over": "1: a lost worker's saga goes on with another, and its attempt counts",
    "publishing after commit": "1: the record is committed before anything is published",
    "recovery": "1: whatever was lost is found, once, and one bad row stops nobody",
    "waking": "1: an open saga always has a time at which recovery looks at it",
    "attempt counter": "1: every attempt is counted in the row, and attempts come to an end",
    "own trouble": "1: trouble of our own costs no attempt",
    "duplicate's chain": "7: the chain of a message that is not ours stops",
    "one commit": "2: a step's SQL and the record of it are one commit",
    "idempotency key": "3: one key a step and saga, stored before the first call",
    "reverse order": "4: compensations run in reverse order",
    "whole way back": "4: nothing is called compensated that may still stand",
    "link_error": "4: it publishes compensations once, and proves nothing",
    "pivot rule": "5: after the pivot the saga only goes forward",
    "unknown": "6: a call that was cut off is unknown, and stays so until somebody knows",
    "probe": "6: before going back the provider is asked",
    "settle_after": "6: did not happen is believed only when no call can be under way",
    "time": "6: a saga's time ends what goes back, and no live call",
    "late success": "7: it is recorded, and a contradiction becomes FAILED",
    "second look": "7: the probe is asked again after the saga rested",
    "business key": "8: two sagas never work on the same thing at once",
    "start": "8: the same idempotency key is the same saga",
    "history": "9: a transition and its event are one statement, and events stay",
    "signal": "9: a signal is kept, and taken once, whenever it comes",
    "pause": "9: while it is paused nothing is begun, and its clock stands",
    "operator": "9: whoever acts saw what they act on, may do it, and is told of",
    "unknown definition": "1: what nobody here knows is left alone, then a person decides",
    "quota": "devices: what is made was reserved before, under a lock, and is counted once",
    "port": "devices: a port is one device's, and its container has that port and no other",
    "container": "devices: what is used, stopped or removed is this device's own container",
}


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One guard taken out: ``before``, which stands once in ``file``, becomes ``after``.

    ``killed_by`` are the tests of which each must fail. They fail by an assertion, or by the
    errors that ``dies_of`` names, so that a mutant that is plain broken is not taken for killed.
    """

    name: str
    guard: str
    file: str
    before: str
    after: str
    killed_by: tuple[str, ...]
    dies_of: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name.replace(" ", "_")


def tests(file: str, *names: str) -> tuple[str, ...]:
    """The full names of tests in ``tests/FILE.py``."""
    return tuple(f"tests/{file}.py::{name}" for name in names)
