"""What a gateway says, on its way between processes."""

import pickle
from datetime import timedelta

from gateways.payments import NumberReused, PersonNeeded, ProviderBusy, RefundRefused


def test_errors_keep_their_fields_between_processes() -> None:
    refused = pickle.loads(pickle.dumps(RefundRefused("REFUSED", "no")))
    busy = pickle.loads(pickle.dumps(ProviderBusy(timedelta(seconds=3))))

    assert (refused.code, refused.message, str(refused)) == (
        "REFUSED",
        "no",
        "the provider refused the refund: REFUSED: no",
    )
    assert busy.after == timedelta(seconds=3)


def test_who_must_act_and_on_what_is_kept_between_processes() -> None:
    needed = PersonNeeded("NOT_ENOUGH", "no money", advice="top it up")
    reused = NumberReused("R1", 500)

    for error in (needed, reused):
        copy = pickle.loads(pickle.dumps(error))
        assert (vars(copy), str(copy)) == (vars(error), str(error))
