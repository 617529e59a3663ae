"""Sagas that wait are rows and nothing else: whatever is restarted, all go on."""

from collections.abc import Callable

from redis import Redis

from saga.followup import Lane
from tests import nursery
from tests.acceptance.world import ROOT, World

APP = "tests.acceptance.visits"
FEW, MANY = 100, 1_000
TABLES = (
    "CREATE TABLE visit_did (step text, key text, UNIQUE (step, key)); "
    "CREATE TABLE visit_call (key text, is_paid boolean)"
)
STEPS = ("announce", "pay", "serve")


def run(world: World, *arguments: str) -> list[str]:
    done = nursery.run("-m", APP, *arguments, cwd=ROOT, env=world.environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def in_the_broker(world: World) -> int:
    """How many messages of sagas wait there or are in somebody's hand."""
    with Redis.from_url(world.redis.url) as redis:
        unacknowledged = [one for one in redis.hvals("unacked") if b"visit." in one]
        return sum(redis.llen(lane) for lane in Lane) + len(unacknowledged)


def counts(world: World, sql: str) -> list[int]:
    return [row[0] for row in world.rows(sql)]


def test_everything_is_restarted_while_sagas_wait_and_all_go_on(
    make_world: Callable[..., World],
    in_full: bool,  # noqa: FBT001 - a fixture
    proved: Callable[..., None],
) -> None:
    many = MANY if in_full else FEW
    world = make_world(concurrency=2, app=APP, own_postgres=True)
    with world.database.begin() as connection:
        connection.exec_driver_sql(TABLES)
    saga_ids = run(world, "start", *(STEPS[number % len(STEPS)] for number in range(many)))
    waiting = "SELECT count(*) FROM saga_state WHERE waiting_for = 'signal' AND attempt = 0"
    world.until(lambda: counts(world, waiting) == [many], "all wait", within=300)
    world.until(lambda: not in_the_broker(world), "no message of theirs is left")
    happened = counts(world, "SELECT count(*) FROM saga_event")

    for name in list(world.processes):
        world.kill(name)
    world.empty_redis()
    world.restart_postgres()
    world.redis.start()
    world.start_beat(APP)
    world.start_all(["worker1"], concurrency=2, app=APP)
    assert in_the_broker(world) == 0
    assert counts(world, "SELECT count(*) FROM saga_event") == happened
    run(world, "signal", *saga_ids)

    world.until_all_rest(within=300)
    assert world.statuses() == {"COMPLETED": many}
    assert counts(world, "SELECT count(*) FROM saga_signal WHERE consumed_at IS NULL") == [0]
    assert counts(world, "SELECT count(*) FROM saga_state WHERE state->'told' <> '[\"Ann\"]'") == [
        0
    ]
    assert counts(world, "SELECT count(*) FROM visit_did GROUP BY step") == [many, many]
    paid = "SELECT count(*) FROM visit_call WHERE is_paid GROUP BY key"
    assert counts(world, paid) == [1] * many
    assert not world.rows("SELECT FROM saga_event WHERE kind IN ('attempt_failed', 'taken_over')")
    proved(f"{many:,} sagas waited while everything was restarted, and all went on")
