"""A step that kills its process, or does not end in time, is counted, and gives up."""

from collections.abc import Callable
from uuid import UUID

import pytest

from tests import nursery
from tests.acceptance.world import ROOT, World

TRIAL = "tests.acceptance.trial"
MOST_ATTEMPTS = 4
# The first death of a transaction leaves no trace to count by: it is found on redelivery.
UNCOUNTED = 1


@pytest.mark.parametrize(
    ("deadly", "status", "ran"),
    [
        ("first", "COMPENSATED", []),
        ("second", "COMPENSATED", ["compensate_first", "compensate_second"]),
        ("third", "COMPENSATED", ["compensate_first", "compensate_second"]),
        ("fourth", "FAILED", []),
    ],
)
def test_a_step_that_kills_its_own_process_every_time_gives_up(
    make_world: Callable[..., World], deadly: str, status: str, ran: list[str]
) -> None:
    world = _trial_world(make_world)

    saga_id = _start(world, deadly, "kill")

    world.until_status(saga_id, "COMPENSATED", "FAILED", "COMPLETED")
    assert world.status(saga_id) == status, world.story(saga_id)
    runs = [run.name for run in world.rows("SELECT name FROM trial_run")]
    assert MOST_ATTEMPTS <= runs.count(deadly) <= MOST_ATTEMPTS + UNCOUNTED
    assert sorted(name for name in runs if name.startswith("compensate")) == ran


@pytest.mark.parametrize("manner", ["oversleep", "ignore the soft limit"])
@pytest.mark.parametrize("deadly", ["first", "second"])
def test_a_step_that_never_ends_in_time_is_stopped_by_its_definitions_limits(
    make_world: Callable[..., World], deadly: str, manner: str
) -> None:
    world = _trial_world(make_world)

    saga_id = _start(world, deadly, manner)

    world.until_status(saga_id, "COMPENSATED", "FAILED", "COMPLETED")
    assert world.status(saga_id) == "COMPENSATED", world.story(saga_id)
    runs = [run.name for run in world.rows("SELECT name FROM trial_run")]
    assert MOST_ATTEMPTS <= runs.count(deadly) <= MOST_ATTEMPTS + UNCOUNTED
    softly = world.kinds(saga_id).count("attempt_failed")
    assert softly == (3 if manner == "oversleep" else 0), world.story(saga_id)


def _trial_world(make_world: Callable[..., World]) -> World:
    world = make_world(app=TRIAL)
    with world.database.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE trial_run (name text)")
    return world


def _start(world: World, deadly: str, manner: str) -> UUID:
    done = nursery.run("-m", TRIAL, deadly, manner, cwd=ROOT, env=world.environment)
    assert done.returncode == 0, done.stderr
    return UUID(done.stdout.strip())
