"""With any one guard taken out of the engine, the test that is named for it fails."""

import ast
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.engine import make_url

from tests.mutants.mutant import GUARDS, Mutant
from tests.mutants.mutants import IN_EVERY_RUN, MUTANTS
from tests.mutants.runner import PROJECT, Server, copied, run, survives

pytestmark = pytest.mark.integration

SENTENCE = f"{len(MUTANTS)} mutants of guards, each killed by the test named for it"


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Server:
    """The run's own server, on which every mutant's tests make databases of their own."""
    url = os.environ.get("DATABASE_URL") or request.getfixturevalue("postgres").url
    return Server(url, template=str(make_url(new_database()).database))


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_mutant_fits_the_source_as_it_is(mutant: Mutant) -> None:
    source = (PROJECT / mutant.file).read_text()

    assert source.count(mutant.before) == 1, f"{mutant.file} has moved: mend the mutant"
    ast.parse(source.replace(mutant.before, mutant.after))
    for test in mutant.killed_by:
        file, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}(" in (PROJECT / file).read_text(), test


def test_every_guard_has_mutants_and_every_mutant_a_name_of_its_own() -> None:
    assert {mutant.guard for mutant in MUTANTS} == set(GUARDS)
    assert Counter(mutant.name for mutant in MUTANTS).most_common(1)[0][1] == 1
    few = {guard for guard, many in Counter(m.guard for m in MUTANTS).items() if many < 2}
    assert few == set(), "a guard that stands in one place may stand in another"


def test_the_promises_tell_how_many_mutants_there_are() -> None:
    assert SENTENCE in (PROJECT / "docs/explanation/promises.md").read_text()


@pytest.mark.parametrize("name", IN_EVERY_RUN)
def test_a_guard_that_is_taken_out_is_missed(name: str, server: Server) -> None:
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == name)

    assert survives(mutant, server) is None


def test_every_guard_that_is_taken_out_is_missed(
    in_full: bool,  # noqa: FBT001 - a fixture
    server: Server,
    proved: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not in_full:
        pytest.skip("make mutants takes out every guard")
    with copied() as copy:
        tests = sorted({test for mutant in MUTANTS for test in mutant.killed_by})
        untouched = run(copy, tests, server)
    assert untouched.code == 0, f"the engine as it is fails\n{untouched.output}"

    survivors = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool, capsys.disabled():
        whys = pool.map(lambda mutant: survives(mutant, server), MUTANTS)
        print(f"\n{'killed':8}{'guard':26}{'mutant, and what kills it'}")
        for mutant, why in zip(MUTANTS, whys, strict=True):
            print(f"{'NO' if why else 'yes':8}{mutant.guard:26}{mutant.name}")
            print("".join(f"{'':34}{test}\n" for test in mutant.killed_by), end="", flush=True)
            if why:
                survivors[mutant.name] = why

    assert survivors == {}
    proved(SENTENCE)
