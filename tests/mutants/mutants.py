"""All mutants, each with a guard of the engine or of devices taken out, and who must notice.

``make mutants`` runs them all, ``make test`` one of each guard in ``IN_EVERY_RUN``.
"""

from tests.mutants.decisions import DECISIONS
from tests.mutants.devices import DEVICES
from tests.mutants.looks import LOOKS
from tests.mutants.needs import NEEDS
from tests.mutants.passage import PASSAGE
from tests.mutants.people import PEOPLE
from tests.mutants.rules import RULES
from tests.mutants.statements import STATEMENTS
from tests.mutants.work import WORK

MUTANTS = (
    *(*DECISIONS, *STATEMENTS, *LOOKS, *RULES, *WORK, *PASSAGE, *PEOPLE, *NEEDS),
    *DEVICES,
)

IN_EVERY_RUN = (
    "a message of another epoch may act",
    "a message acts on a row that nobody locked",
    "what is claimed is claimed again",
    "a heartbeat renews a lease past the hard limit",
    "a start publishes before its caller commits",
    "a call's attempt is not counted in the row",
    "the chain of a dropped message goes on",
    "steps are compensated in the order in which they ran",
    "a pivot that is done obeys the clock",
    "did not happen is believed at once",
)
