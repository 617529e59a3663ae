"""Who owns what, over the whole table of facts, and what a key of the object store tells."""

from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID, uuid4

import pytest

from gateways.apk import Apk
from saga import Status
from workflows.app_upload import object_key
from workflows.sweeping.judgement import ADVICE, Facts, Kind, Thing, Verdict, is_over, judge, why
from workflows.sweeping.sources import saga_of

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 2, tzinfo=UTC)
GRACE = timedelta(hours=24)
A_MOMENT = timedelta(microseconds=1)

STATUSES = [None, *Status, "OF_A_NEWER_ENGINE"]
REST = {Status.COMPLETED, Status.COMPENSATED, Status.TIMEOUT}


def thing(kind: Kind, *, saga_id: UUID | None, age: timedelta) -> Thing:
    return Thing(kind=kind, name="it", key="it", saga_id=saga_id, size_bytes=1, since=NOW - age)


@pytest.mark.parametrize("kind", Kind)
def test_only_what_no_record_and_no_open_or_failed_saga_owns_is_an_orphan(kind: Kind) -> None:
    ages = [timedelta(0), GRACE, GRACE + A_MOMENT, 400 * GRACE]
    names = [None, uuid4()]

    for status, has_record, age, saga_id in product(STATUSES, [False, True], ages, names):
        facts = Facts(status=status, has_record=has_record)
        one = thing(kind, saga_id=saga_id, age=age)

        verdict = judge(one, facts, now=NOW, grace=GRACE)

        if has_record or not (status is None or status in REST):
            expected = Verdict.OWNED
        elif age <= GRACE:
            expected = Verdict.YOUNG
        elif saga_id is None:
            expected = Verdict.FOREIGN
        else:
            # Another database may have the saga of what lies in a store or on a host, not of what
            # is staged, or stands in our own tables.
            elsewhere = {Kind.UPLOAD, Kind.OBJECT, Kind.RECORD, Kind.CONTAINER}
            is_stray = status is None and kind in elsewhere
            expected = Verdict.STRAY if is_stray else Verdict.ORPHAN
        assert verdict is expected, (facts, age, saga_id)
        assert why(one, facts, verdict)
        assert ADVICE[verdict]


def test_what_comes_from_the_future_is_young() -> None:
    ahead = thing(Kind.OBJECT, saga_id=uuid4(), age=-timedelta(hours=1))

    assert judge(ahead, Facts(), now=NOW, grace=timedelta(0)) is Verdict.YOUNG


def test_only_a_saga_at_rest_is_over() -> None:
    assert {status for status in STATUSES if is_over(status)} == REST


def test_an_orphan_tells_what_became_of_its_saga() -> None:
    one = thing(Kind.OBJECT, saga_id=uuid4(), age=2 * GRACE)

    told = {why(one, Facts(status=status), Verdict.ORPHAN) for status in (None, *REST)}

    assert told == {
        "no saga has its id",
        "its saga is COMPLETED, and no record has it",
        "its saga is COMPENSATED, and no record has it",
        "its saga is TIMEOUT, and no record has it",
    }


@pytest.mark.parametrize("version", ["1.0", "", "v1 (beta) / _2", "日本", "x" * 90, "a_b"])
def test_a_key_that_we_give_tells_its_saga(version: str) -> None:
    saga_id = uuid4()
    apk = Apk(
        package_name="org.example.app",
        version_code=1,
        version_name=version,
        min_sdk=21,
        target_sdk=34,
    )

    assert saga_of(object_key(apk, saga_id)) == saga_id


@pytest.mark.parametrize(
    "key",
    [
        "apps/readme.txt",
        "apps/org.example/1.0.apk",
        "apps/org.example/1.0_0123456789abcdef0123456789abcde.apk",
        "apps/org.example/1.0_0123456789ABCDEF0123456789ABCDEF.apk",
        "apps/org.example/1.0_0123456789abcdef0123456789abcdef.apk.bak",
        "apps/org.example/more/1.0_0123456789abcdef0123456789abcdef.apk",
        "else/org.example/1.0_0123456789abcdef0123456789abcdef.apk",
        "apps/org.example/1 0_0123456789abcdef0123456789abcdef.apk",
        "apps/org.example/1.0_0123456789abcdef0123456789abcdef.apk\n",
    ],
)
def test_a_key_that_we_do_not_give_is_foreign(key: str) -> None:
    assert saga_of(key) is None
