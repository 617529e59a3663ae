"""What each role may do, said once more by hand."""

import pytest

from saga.access import ACTOR, Permission, Principal, Role, granted

pytestmark = pytest.mark.unit

ALLOWED = {
    Role.PRODUCER: {Permission.START, Permission.READ, Permission.SEE},
    Role.VIEWER: {Permission.READ, Permission.SEE},
    Role.OPERATOR: {Permission.READ, Permission.SEE, Permission.ACT},
    Role.ADMIN: set(Permission),
}


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("permission", Permission)
def test_a_role_may_what_its_row_says(role: Role, permission: Permission) -> None:
    principal = Principal(name="somebody", role=role)

    assert principal.may(permission) is (permission in ALLOWED[role])
    assert (role in granted(permission)) is (permission in ALLOWED[role])


def test_only_who_repairs_sagas_sees_what_is_sensitive() -> None:
    see_all = {role for role in Role if Principal(name="somebody", role=role).sees_all}

    assert see_all == {Role.OPERATOR, Role.ADMIN}


def test_a_session_knows_in_whose_name_sagas_are_started() -> None:
    assert Principal(name="billing", role=Role.PRODUCER).info == {ACTOR: "billing"}
