"""One refund saga beside its provider's books: what differs, what that means, and what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from gateways.payments import NumberReused, RefundAnswer, RefundStatus
from models import Difference
from saga import IdempotencyKey, Status

MEANING = {
    Difference.NOT_BOOKED: "the provider refunded, and no payment says so",
    Difference.REFUNDED_TWICE: "the provider refunded under more than one number of this saga",
    Difference.NOT_REFUNDED: "the payment says refunded, and the provider did not do it",
    Difference.NOT_FINAL: "the payment says refunded before the provider's final word",
    Difference.MAY_STILL_HAPPEN: "the saga went back or is FAILED, and the provider may still "
    "refund",
    Difference.OTHER_AMOUNT: "the provider refunded another amount than what was booked",
    Difference.NUMBER_REUSED: "the provider has this number for a refund of another payment",
    Difference.OVER_THE_PAYMENT: "all its refunds together are more than what was paid",
    Difference.PAYMENT_DIFFERS: "the payment's refunded amount is not the sum of its refunds",
}

ADVICE = {
    Difference.NOT_BOOKED: "book it by hand, or get the money back; if its saga is FAILED, then "
    "resolve it as done, or as not done",
    Difference.REFUNDED_TWICE: "ask the customer for the second one, or book the loss",
    Difference.NOT_REFUNDED: "look at the provider's own pages; refund again, or correct the "
    "payment",
    Difference.NOT_FINAL: "nothing, if the provider says SUCCESS soon; else finish it there",
    Difference.MAY_STILL_HAPPEN: "finish or cancel it on the provider's own pages",
    Difference.OTHER_AMOUNT: "correct the booking, or settle the rest with the customer",
    Difference.NUMBER_REUSED: "find who else refunds in our name, and what this payment came to",
    Difference.OVER_THE_PAYMENT: "ask the customer for what is too much, or book the loss",
    Difference.PAYMENT_DIFFERS: "find who wrote to the payment past its sagas, and correct it",
}

# What a provider says of one number: all but None has an amount.
Answer = RefundAnswer | NumberReused | None

# They are the payment's, so that one of its refunds is enough to tell of them.
OF_THE_PAYMENT = frozenset({Difference.OVER_THE_PAYMENT, Difference.PAYMENT_DIFFERS})


@dataclass(frozen=True, kw_only=True)
class Ours:
    """A refund saga and its payment, as they stand at one ``version`` of the saga.

    ``keys`` are the refund numbers of all generations, the one in use last. ``booked`` has the
    payment's refunds by their numbers, ``elsewhere_minor`` what is known to have gone back under
    numbers that are not this saga's; all amounts in minor units (fen). ``told`` are the
    differences of the payment that stand on file with another of its refunds.
    """

    saga_id: UUID
    status: Status
    version: int
    keys: Sequence[IdempotencyKey]
    method: str
    payment_id: str
    payment_no: str
    payment_minor: int
    payment_refunded_minor: int
    booked: Mapping[str, int]
    elsewhere_minor: int
    told: frozenset[Difference]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One refund number on both sides; without ``difference`` they agree."""

    refund_no: IdempotencyKey
    booked_minor: int | None
    theirs: Answer
    difference: Difference | None

    @property
    def is_unbooked_success(self) -> bool:
        return self.booked_minor is None and _refunded(self.theirs)


def compare(ours: Ours, theirs: Mapping[str, Answer]) -> list[Finding]:
    """Compare each number of a saga that is at rest or FAILED; ``theirs`` has all of them."""
    return [
        Finding(
            refund_no=key,
            booked_minor=ours.booked.get(key),
            theirs=theirs[key],
            difference=_difference(ours, theirs, key),
        )
        for key in ours.keys
    ]


def _difference(ours: Ours, theirs: Mapping[str, Answer], key: str) -> Difference | None:
    booked, answer = ours.booked.get(key), theirs[key]
    if isinstance(answer, NumberReused):
        return Difference.NUMBER_REUSED
    status = None if answer is None else answer.status
    if booked is None:
        alone = _unbooked(status, sum(map(_refunded, theirs.values())))
    elif answer is None:
        alone = Difference.NOT_REFUNDED
    else:
        alone = _booked(booked, answer)
    # Whatever is wrong with this one number explains more than the sums do.
    return alone or _of_the_payment(ours, theirs)


def _unbooked(status: RefundStatus | None, times: int) -> Difference | None:
    match status:
        case RefundStatus.SUCCESS:
            return Difference.REFUNDED_TWICE if times > 1 else Difference.NOT_BOOKED
        case RefundStatus.PROCESSING | RefundStatus.ABNORMAL:
            return Difference.MAY_STILL_HAPPEN
        case RefundStatus.CLOSED | None:
            return None


def _booked(booked_minor: int, answer: RefundAnswer) -> Difference | None:
    match answer.status:
        case RefundStatus.SUCCESS:
            return None if answer.amount_minor == booked_minor else Difference.OTHER_AMOUNT
        case RefundStatus.PROCESSING | RefundStatus.ABNORMAL:
            return Difference.NOT_FINAL
        case RefundStatus.CLOSED:
            return Difference.NOT_REFUNDED


def _of_the_payment(ours: Ours, theirs: Mapping[str, Answer]) -> Difference | None:
    here = [answer for answer in theirs.values() if answer is not None and _refunded(answer)]
    back_minor = ours.elsewhere_minor + sum(answer.amount_minor for answer in here)
    if here and back_minor > ours.payment_minor:
        found = Difference.OVER_THE_PAYMENT
    elif sum(ours.booked.values()) != ours.payment_refunded_minor:
        found = Difference.PAYMENT_DIFFERS
    else:
        return None
    return None if found in ours.told else found


def _refunded(answer: Answer) -> bool:
    return isinstance(answer, RefundAnswer) and answer.status is RefundStatus.SUCCESS
