"""Keys of the HTTP API at the command line, and the audit."""

import pytest
from sqlalchemy import text

from saga.access import keys
from tests.integration.desk import Desk
from tests.integration.shop import Shop

pytestmark = pytest.mark.integration


@pytest.fixture
def desk(shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    with shop.database.begin() as connection:
        connection.execute(text("TRUNCATE saga_key, saga_audit"))
    return Desk(shop, capsys, monkeypatch)


def test_a_key_is_printed_once_and_is_good(shop: Shop, desk: Desk) -> None:
    made = desk.json(
        "keys", "create", "--name", "billing", "--role", "producer", "--expires", "90d"
    )

    with shop.database.connect() as connection:
        found = keys.find(connection, made["secret"])
    assert found is not None
    assert found.principal.name == "billing"
    assert made["expiresAt"] is not None
    assert (made["role"], made["createdBy"]) == ("producer", "ann")
    assert made["secret"] not in desk.says("keys", "list") + desk.says("audit")


def test_a_person_is_told_what_to_do_with_a_key(desk: Desk) -> None:
    said = desk.says("keys", "create", "--name", "Bob [red]", "--role", "viewer")

    [secret] = [line for line in said.splitlines() if line.startswith("saga_")]
    assert len(secret) > 40
    assert "'Bob [red]'" in said
    assert "SAGA_KEY" in said


def test_a_revoked_key_is_listed_as_such(desk: Desk) -> None:
    made = desk.json("keys", "create", "--name", "billing", "--role", "producer")

    revoked = desk.json("keys", "revoke", made["keyId"])

    assert revoked["revokedBy"] == "ann"
    assert desk.json("keys", "list")["items"] == [revoked]
    assert "revoked by ann" in desk.says("keys", "list")
    assert "already" in desk.fails(4, "keys", "revoke", made["keyId"])
    assert "saga keys list" in desk.fails(3, "keys", "revoke", "key_none")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--name", "x", "--role", "root"], "none of producer, viewer, operator, admin"),
        (["--name", "", "--role", "viewer"], "name must be one line"),
        (["--name", "x", "--role", "viewer", "--expires", "soon"], "must be a duration"),
        (["--name", "x", "--role", "viewer", "--expires", "0s"], "not 0"),
        (["--name", "x", "--role", "viewer", "--expires", "3651d"], "at most 3650d"),
    ],
)
def test_a_key_that_cannot_be_is_not_made(desk: Desk, words: list[str], says: str) -> None:
    assert says in desk.fails(2, "keys", "create", *words)
    assert desk.json("keys", "list") == {"items": []}


def test_the_audit_tells_who_did_what_and_what_was_refused(shop: Shop, desk: Desk) -> None:
    saga_id = shop.start()
    desk.says("pause", saga_id, "--reason", "the provider is down")
    desk.fails(4, "pause", saga_id, "--reason", "again")

    newest, before = desk.json("audit")["items"]
    assert (newest["actor"], newest["action"], newest["outcome"]) == ("ann", "pause", "refused")
    assert (before["sagaId"], before["outcome"]) == (str(saga_id), "done")
    assert before["why"] == "the provider is down"
    assert desk.json("audit", "--limit", 1)["items"] == [newest]
    assert "limit must be" in desk.fails(2, "audit", "--limit", 0)
    assert "refused" in desk.says("audit")
