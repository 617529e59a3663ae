"""Uploads whose worker, store or listener dies in every step; counted: nothing is left behind."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests import nursery
from tests.acceptance.apps import (
    CREATE,
    LATEST,
    NOTIFY,
    PIECE_BYTES,
    STATUS,
    UPLOAD,
    AppWorld,
    Pipe,
    Sent,
)
from tests.acceptance.listener import HANG_UP, open_listener
from tests.acceptance.troubles import TROUBLES
from tests.acceptance.world import ROOT
from tests.integration.bucket import open_bucket

SLOTS = 12
STORES = ["folder", "bucket"]
TWO_PIECES = 7 * 1024 * 1024


# Where the others are held: in the transaction that records what they did.
RECORDS = [
    ("step_done", CREATE),
    ("step_done", UPLOAD),
    ("step_done", STATUS),
    ("step_done", LATEST),
    ("completed", NOTIFY),
]
RECORDS_BACK = [("step_compensated", UPLOAD), ("compensated", CREATE)]


@pytest.fixture(scope="module")
def world(
    request: pytest.FixtureRequest,
    new_database: Callable[[], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[AppWorld]:
    """One world for all tests of a store; each leaves nothing in it but its COMPLETED sagas."""
    with ExitStack() as open_until_the_end:
        is_bucket = request.param == "bucket"
        world = AppWorld(
            folder=tmp_path_factory.mktemp(request.param),
            postgres=None,
            database_url=new_database(),
            listener=open_until_the_end.enter_context(open_listener()),
            bucket=open_until_the_end.enter_context(open_bucket()) if is_bucket else None,
        )
        open_until_the_end.callback(world.close)
        yield world.start(concurrency=SLOTS)


either_store = pytest.mark.parametrize("world", STORES, indirect=True, scope="module")
only_folder = pytest.mark.parametrize("world", ["folder"], indirect=True, scope="module")
only_bucket = pytest.mark.parametrize("world", ["bucket"], indirect=True, scope="module")


@either_store
@pytest.mark.parametrize("victim", ["children", "main process"])
def test_kill_9_in_every_step_and_compensation_at_once(world: AppWorld, victim: str) -> None:
    unread, in_the_middle, *taken_back = pipes = [
        _piped(world, size) for size in (None, TWO_PIECES, None, None, None)
    ]
    world.until(lambda: all(pipe.is_read() for _, pipe in pipes), "all calls wait for their bytes")
    in_the_middle[1].give(PIECE_BYTES)
    world.until(world.uploads, "one is half written")
    with world.held() as hold:
        for (sent, pipe), (kind, step) in zip(taken_back, RECORDS_BACK, strict=False):
            hold.event(sent.saga_id, kind, step)
            _take_back(world, sent, pipe)
        _take_back_slowly(world, *taken_back[-1])
        through = [unread[0], in_the_middle[0]]
        for kind, step in RECORDS:
            staged, apk = world.new_apk()
            hold.event(staged.id, kind, step)
            through.append(world.upload(staged, apk))
        in_records = len(RECORDS) + len(RECORDS_BACK)
        world.until(lambda: hold.count() == in_records, "all the others wait in a record")

        if victim == "children":
            world.kill_child(world.main)
        else:
            world.kill_main(world.main)  # its children die with it: so Celery asked the kernel
    for _, pipe in (unread, in_the_middle):
        pipe.give()
        pipe.become_a_file()
    if victim == "main process":
        world.next_worker(concurrency=SLOTS)

    for sent in through:
        world.until_status(sent.saga_id, "COMPLETED")
    for sent, _ in taken_back:
        world.until_status(sent.saga_id, "COMPENSATED")
    world.until_nothing_remains()
    _assert_told(world, *through)
    told = _progress(world, in_the_middle[0])
    assert told["done"] == told["of"] > TWO_PIECES - PIECE_BYTES


@either_store
def test_a_frozen_worker_finishes_nothing_of_what_was_taken_back_meanwhile(
    world: AppWorld,
) -> None:
    (unread, its_pipe), (half, other_pipe) = _piped(world, None), _piped(world, TWO_PIECES)
    world.until(lambda: its_pipe.is_read() and other_pipe.is_read(), "both wait for their bytes")
    other_pipe.give(PIECE_BYTES)
    world.until(world.uploads, "one is half written")
    lost = [unread, half, *_not_yet_begun(world)]
    frozen = world.main
    with world.frozen(frozen):
        for sent in lost:
            world.cancel(sent.saga_id)
        world.next_worker(concurrency=SLOTS)
        for sent in lost:
            world.until_status(sent.saga_id, "COMPENSATED")
        world.until_nothing_remains()
        its_pipe.give()  # all of it waits in the pipe when the worker thaws
    other_pipe.give()

    def has_dropped_all() -> bool:
        dropped = [line for line in _lines(world, frozen) if "dropped" in line]
        return all(any(str(sent.saga_id) in line for line in dropped) for sent in lost)

    world.until(has_dropped_all, "the thawed calls find that they lost")
    world.kill(frozen)
    assert [world.status(sent.saga_id) for sent in lost] == ["COMPENSATED"] * len(lost)
    world.until_nothing_remains()


@only_bucket
def test_whatever_the_store_does_the_upload_is_there_or_nothing_is(world: AppWorld) -> None:
    assert world.bucket is not None
    ends = {}
    for name, (end, faults) in TROUBLES.items():
        staged, apk = world.new_apk()
        for fault in faults:
            world.bucket.fault(**fault, key=world.key(staged, apk))
        ends[name] = world.upload(staged, apk), end

    for sent, _ in ends.values():
        world.until_status(sent.saga_id, "COMPLETED", "COMPENSATED", "FAILED")
    found = {name: world.status(sent.saga_id) for name, (sent, _) in ends.items()}
    assert found == {name: end for name, (_, end) in ends.items()}
    assert not any(world.has(sent.saga_id, "taken_over") for sent, _ in ends.values())
    world.bucket.forget_faults()
    refused, _ = ends["our rights are taken"]
    world.order_back(refused.saga_id)
    world.until_status(refused.saga_id, "COMPENSATED")
    world.until_nothing_remains()


@only_bucket
def test_an_object_that_finishes_after_its_compensation_is_reported_and_removed(
    world: AppWorld,
) -> None:
    assert world.bucket is not None
    sent, pipe = _piped(world, None)
    world.until(pipe.is_read, "its call waits for bytes")
    world.bucket.fault("complete", "late", seconds=4, key=sent.key)
    world.cancel(sent.saga_id)
    pipe.give()
    world.until_status(sent.saga_id, "COMPENSATED")
    world.until_nothing_remains()

    world.until(
        lambda: world.rows("SELECT * FROM sweep_alarms WHERE name = :key", key=sent.key),
        "beat's sweep calls a person",
    )
    assert f"object too many: {sent.key} with {sent.sha256}" in world.remains()
    assert any("event=alarm" in line and sent.key in line for line in _lines(world, world.main))
    told = _saga(world, "sweep", "--remove", "--grace", "1s")
    assert (told["orphans"], told["removed"]) == (1, 1), told
    world.until_nothing_remains()


@either_store
def test_an_upload_without_its_file_goes_back_and_one_without_its_notice_stands(
    world: AppWorld,
) -> None:
    prepared = [world.new_apk() for _ in range(3)]
    lost, refused, unheard = [staged.id for staged, _ in prepared]
    world.stage.remove(lost)
    world.listener.answers |= {str(refused): 400, str(unheard): HANG_UP}
    for staged, apk in prepared:
        world.upload(staged, apk)

    assert world.until_status(lost, "COMPENSATED")
    for saga_id in (refused, unheard):
        world.until_status(saga_id, "COMPLETED")
        assert world.has(saga_id, "step_skipped", NOTIFY), world.story(saga_id)
        assert str(saga_id) not in world.listener.taken
    world.until_nothing_remains()


@only_folder
def test_an_upload_while_the_broker_is_away_is_done_when_it_is_back(world: AppWorld) -> None:
    staged, apk = world.new_apk()
    world.redis.stop()
    sent = world.upload(staged, apk)
    assert world.status(sent.saga_id) == "RUNNING"
    world.redis.start()

    world.until_status(sent.saga_id, "COMPLETED")
    world.until_nothing_remains()
    _assert_told(world, sent)


def _saga(world: AppWorld, *arguments: str) -> Any:
    """What a command says; it must succeed."""
    command = ("-m", "saga.cli", *arguments, "--json")
    done = nursery.run(*command, cwd=ROOT, env=world.environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _piped(world: AppWorld, size: int | None) -> tuple[Sent, Pipe]:
    """An upload whose call waits for bytes."""
    staged, apk = world.new_apk(size=size)
    pipe = world.pipe(staged)
    return world.upload(staged, apk), pipe


def _take_back(world: AppWorld, sent: Sent, pipe: Pipe) -> None:
    """Let its call end well, and the saga go back then."""
    world.cancel(sent.saga_id)
    pipe.give()


def _take_back_slowly(world: AppWorld, sent: Sent, pipe: Pipe) -> None:
    """The same, and come to where the object is being removed, as far as a test can see it."""
    if world.bucket is not None:
        world.bucket.fault("delete", "slow", seconds=3, key=sent.key)
    _take_back(world, sent, pipe)
    world.until(lambda: world.kinds(sent.saga_id).count("attempt_started") > 1, "it is removed")


def _not_yet_begun(world: AppWorld) -> list[Sent]:
    """An upload whose call asks what is there, and waits for the answer; of a bucket alone."""
    if world.bucket is None:
        return []
    staged, apk = world.new_apk()
    world.bucket.fault("get", "slow", seconds=2, key=world.key(staged, apk))
    sent = world.upload(staged, apk)
    world.until(lambda: world.has(sent.saga_id, "attempt_started"), "it asks")
    return [sent]


def _progress(world: AppWorld, sent: Sent) -> dict[str, Any]:
    """How far the call that took effect said it came."""
    sql = (
        "SELECT detail->'progress' AS progress FROM saga_event "
        "WHERE saga_id = :id AND kind = 'step_done' AND step = :step"
    )
    [row] = world.rows(sql, id=sent.saga_id, step=UPLOAD)
    progress: dict[str, Any] = row.progress
    return progress


def _lines(world: AppWorld, name: str) -> list[str]:
    return world.log(name).splitlines()


def _assert_told(world: AppWorld, *sent: Sent) -> None:
    """Each was told of under one id, however often."""
    ids = [list(world.listener.taken.get(str(each.saga_id), ())) for each in sent]
    assert [len(each) for each in ids] == [1] * len(sent), ids
    assert len({key for each in ids for key in each}) == len(sent)
