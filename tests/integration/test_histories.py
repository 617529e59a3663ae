"""Long random histories of several sagas at once, on a real PostgreSQL: the promise holds.

After each thing that happens, every move of every row is held against the rules, and every row
against what really took effect. In the end all is mended, and every saga comes to rest.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from structlog.testing import capture_logs

from tests.integration.histories import Histories
from tests.integration.market import Place

pytestmark = pytest.mark.integration

STEPS = 60
SHORT, FULL = 50, 2000


@pytest.fixture
def place(new_database: Callable[[], str]) -> Iterator[Place]:
    place = Place(new_database())
    yield place
    place.close()


@pytest.mark.timeout(7200)
def test_whatever_happens_the_promise_holds(
    place: Place,
    in_full: bool,  # noqa: FBT001
    proved: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Hearts are beaten by hand, and an answer is settled again at once when the database is back.
    monkeypatch.setattr("saga.call.heartbeat", lambda *_, **__: nullcontext())
    monkeypatch.setattr("saga.call._SETTLE_PAUSE", 0.0)
    counts: Counter[str] = Counter()
    with capture_logs():
        run_state_machine_as_test(
            lambda: Histories(place, counts),
            settings=settings(
                max_examples=FULL if in_full else SHORT,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                print_blob=True,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            ),
        )
    ends = ", ".join(
        f"{counts[end]} {end}" for end in ("COMPLETED", "COMPENSATED", "TIMEOUT", "FAILED")
    )
    proved(
        f"{counts['histories']} random histories of up to {STEPS} steps on PostgreSQL, "
        f"{counts['sagas']} sagas ({ends}), 0 violations",
        documented=False,
    )
