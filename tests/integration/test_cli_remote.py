"""The command line over HTTP: it says the same, and says what is wrong with the address or key."""

import io
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

import pytest
from fastapi import APIRouter, FastAPI, Form, Header, UploadFile
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse

from saga import Wait
from saga.access import Permission, Role, keys
from saga.api import ExactRoute, create_app, needs
from saga.cli import watch, wire
from saga.errors import Conflict
from saga.operator import Operator
from tests.integration.desk import Desk
from tests.integration.served import served
from tests.integration.shop import Shop
from tests.integration.test_cli_operate import WHY, failed, last
from tests.integration.test_pauses import MINUTE

pytestmark = pytest.mark.integration

KEY = "the-key-of-these-tests"
STARTED = {"x-saga-type": "shop"}


def producers(shop: Shop, heard: list[Any]) -> APIRouter:
    """Three ways to be asked for a saga: by JSON, by a form with a file, by a path alone."""
    routes = APIRouter(route_class=ExactRoute)
    starts = [needs(Permission.START)]

    def begin(*said: Any) -> dict[str, str]:
        heard.append(said)
        return {"sagaId": str(shop.start())}

    @routes.post("/api/orders/{orderId}/sale", openapi_extra=STARTED, dependencies=starts)
    def sell(
        orderId: str,  # noqa: N803 - as on the wire
        body: dict[str, Any],
        idempotency_key: Annotated[str | None, Header()] = None,
    ) -> dict[str, str]:
        if body.get("item") == "gone":
            raise Conflict("it is sold already")
        return begin(orderId, body, idempotency_key)

    @routes.post("/api/files", openapi_extra={"x-saga-type": "upload"}, dependencies=starts)
    def upload(
        file: UploadFile, name: Annotated[str, Form()], tags: Annotated[list[str], Form()]
    ) -> dict[str, str]:
        return begin(file.filename, file.file.read(), name, tags)

    @routes.delete("/api/things/{id}", openapi_extra={"x-saga-type": "end"}, dependencies=starts)
    def end(id: str) -> dict[str, str]:  # noqa: A002
        return begin(id)

    return routes


@pytest.fixture
def heard() -> list[Any]:
    """What producers' routes were asked."""
    return []


@pytest.fixture
def address(shop: Shop, heard: list[Any]) -> Iterator[str]:
    app = create_app(shop.engine, api_key=KEY, routers=[producers(shop, heard)])
    with served(app) as address:
        yield address


@pytest.fixture
def desk(shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("SAGA_KEY", KEY)
    return Desk(shop, capsys, monkeypatch)


@pytest.fixture
def far(desk: Desk, address: str, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk on a machine that has neither database nor application."""
    monkeypatch.setenv("SAGA_URL", address)
    monkeypatch.setenv("SAGA_APP", "no_such_module")
    monkeypatch.delenv("DATABASE_URL")
    return desk


@pytest.mark.parametrize(
    "command",
    [
        ("list",),
        ("list", "--type=shop", "--status=FAILED,RUNNING", "--limit=1"),
        ("list", "--type=shop", "--step=book", "--older-than=0s", "--since=2020-01-01"),
        ("list", "--retries=1", "--paused", "--error=ValueError"),
        ("show", "ID"),
        ("why", "ID"),
        ("watch", "ID"),
        ("compensate", "ID", "--preview"),
        ("pause", "--list"),
        ("show", uuid4()),
        ("show", "no-such-id"),
        ("why", uuid4()),
        ("watch", uuid4()),
        ("list", "--status=LOST"),
        ("cancel", "ID", WHY),
        ("retry", "ID", WHY, "--version=1"),
        ("retry", "ID"),
        ("retry", uuid4(), WHY),
        ("pause", "ID", "--reason", "x" * 501),
        ("resolve", "ID", "--outcome=done", "--evidence=so", "--step=nothing"),
        ("resolve", "ID", "--outcome=done", "--evidence=so", "--step=book", "--state={"),
        ("pause", "--type=market", WHY),
        ("signal", "ID", "gone"),
    ],
)
def test_a_command_says_the_same_over_http(
    shop: Shop, desk: Desk, address: str, command: tuple[object, ...]
) -> None:
    saga_id = failed(shop)
    shop.start(business_key="tea")
    words = [saga_id if word == "ID" else word for word in command]

    for form in ([], ["--json"]):
        here = desk.run(*words, *form)
        there = desk.run(*words, *form, f"--url={address}")
        assert there == here


def test_what_is_done_over_http_is_done_in_the_keys_name(shop: Shop, far: Desk) -> None:
    saga_id = failed(shop)

    told = far.json("retry", saga_id, WHY)

    assert told == {
        "sagaId": str(saga_id),
        "status": "RUNNING",
        "version": shop.row(saga_id)["version"],
        "allowedActions": ["retry", "pause"],
    }
    event = last(shop, saga_id, "retried")
    assert (event["actor"], event["detail"]["because"]) == ("api", "looked into it")
    assert "leave out --actor" in far.fails(2, "pause", saga_id, WHY, "--actor=Bob")
    far.says("pause", saga_id, WHY)
    far.says("resume", saga_id, WHY, f"--version={shop.row(saga_id)['version']}")
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"


def test_a_saga_that_moves_meanwhile_is_acted_on_as_it_is(
    shop: Shop, far: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga_id = failed(shop)
    ask, moved = wire.Wire.ask, []

    def moving(self: wire.Wire, method: str, path: str, **more: Any) -> Any:
        if method == "POST" and not moved:
            moved.append(path)
            Operator(shop.engine, actor="Bob").pause(saga_id, reason="quicker")
        return ask(self, method, path, **more)

    shop.script.say("book", *[ValueError("no ink")] * 4)
    Operator(shop.engine, actor="Bob").retry(saga_id, reason="again")
    monkeypatch.setattr(wire.Wire, "ask", moving)

    assert far.json("resume", saga_id, WHY)["status"] == "RUNNING"
    assert moved


def test_many_are_acted_on_over_http(shop: Shop, far: Desk) -> None:
    broken = [failed(shop) for _ in range(2)]
    fine = shop.start()

    lines = far.lines("retry", "--all", "--type=shop", "--status=FAILED,RUNNING", WHY)
    assert lines[-1] == {"acted": 3, "refused": 0, "more": False}
    assert [line["sagaId"] for line in lines[:-1]] == [str(fine), *map(str, reversed(broken))]
    shop.work_off()
    *told, counted = far.lines("cancel", "--all", "--status=COMPLETED", WHY, "--most=2", code=1)
    assert counted == {"acted": 0, "refused": 2, "more": True}
    assert "allowed: nothing" in told[0]["error"]


def test_steps_may_be_named_short_and_signals_sent_over_http(shop: Shop, far: Desk) -> None:
    saga_id = failed(shop)
    pay = {"sagaType": "shop", "step": "shop.pay"}

    assert far.json("pause", "--type=shop", "--step=pay", WHY) == pay | {"paused": True}
    assert far.json("resume", "--type=shop", "--step=pay", WHY) == pay | {"paused": False}
    found = ("resolve", saga_id, "--outcome=done", "--evidence=in the books", "--step=book")
    assert far.json(*found, '--state={"item": "coffee"}')["status"] == "RUNNING"
    assert shop.row(saga_id)["state"]["item"] == "coffee"
    shop.script.say("book", Wait(signal="paid", timeout=MINUTE))
    waits = shop.start()
    shop.work_off()
    send = ("signal", waits, "paid", "--signal-id=1", "--payload", json.dumps({"by": "Ann"}))
    assert far.json(*send) == {"sagaId": str(waits), "signalId": "1", "new": True}
    assert far.json(*send)["new"] is False


def test_sagas_are_started_by_the_route_that_says_so(
    shop: Shop, far: Desk, heard: list[Any], tmp_path: Path
) -> None:
    apk = tmp_path / "a.apk"
    apk.write_bytes(b"PK" * 100_000)
    many = {"file": str(apk), "name": "Tiny", "tags": ["a", "b"]}

    sale = far.json(
        "start", "shop", "--input", '{"orderId": "a b?", "amount": 0.10}', "--idempotency-key=k"
    )
    far.json("start", "upload", "--input", json.dumps(many))
    said = far.says("start", "end", "--input", '{"thingId": "7"}')

    assert sale["status"] == shop.status(UUID(sale["sagaId"])) == "RUNNING"
    (order, body, key), uploaded, ended = heard
    assert (order, str(body["amount"]), key) == ("a b?", "0.10", "k")
    assert uploaded == ("a.apk", b"PK" * 100_000, "Tiny", ["a", "b"])
    assert ended == ("7",)
    assert "is RUNNING\n" in said
    assert "there are: end, shop, upload" in far.fails(2, "start", "market", "--input", "{}")
    assert "file: is missing" in far.fails(2, "start", "upload", "--input", "{}")
    gone = json.dumps({**many, "file": str(tmp_path / "gone")})
    assert "cannot be read" in far.fails(2, "start", "upload", "--input", gone)
    assert "orderId: is missing" in far.fails(2, "start", "shop", "--input", "{}")
    assert len(heard) == 3


def test_lines_of_a_file_are_started_over_http(
    far: Desk, heard: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = b'{"orderId": "1"}\n\n{"orderId": "2", "item": "gone"}\n{\n{"orderId": "..", "a": 1}\n'
    stdin = io.TextIOWrapper(io.BytesIO(lines))
    monkeypatch.setattr("sys.stdin", stdin)

    told = far.lines("start", "shop", "--input=@-", "--idempotency-key=k", code=1)

    assert [(line["line"], line.get("error", line.get("status"))) for line in told[:2]] == [
        (1, "RUNNING"),
        (3, "it is sold already"),
    ]
    assert ["is not JSON" in told[2]["error"], "is no id" in told[3]["error"]] == [True, True]
    assert [key for *_, key in heard] == ["k:1"]


def test_on_a_terminal_the_lines_of_a_file_are_counted(far: Desk, tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_text('{"orderId": "1"}\n\n{"orderId": "2"}\n')
    far.at_a_terminal()

    said = far.says("start", "shop", f"--input=@{file}")

    assert "2/2" in said, "blank lines are no sagas"
    assert "2 started, 0 wrong" in said
    assert said.count(": saga ") == 2


def test_who_has_the_wrong_key_is_told_what_to_do(
    shop: Shop, far: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga_id = shop.start()
    with shop.engine.database.begin() as connection:
        viewer = keys.create(
            connection, name=f"v{uuid4()}", role=Role.VIEWER, by="Ann", expires_in=None
        )

    assert "the key in SAGA_KEY was refused" in far.fails(1, "list", "--api-key=wrong")
    assert "odd characters" in far.fails(2, "list", "--api-key=two\nlines")
    refused = far.fails(1, "pause", saga_id, WHY, f"--api-key={viewer.secret}")
    assert "operator" in refused
    assert "use a key of such a role" in refused
    monkeypatch.delenv("SAGA_KEY")
    assert "SAGA_KEY is not set" in far.fails(1, "list")
    assert far.json("show", saga_id, f"--api-key={viewer.secret}")["saga"]["status"] == "RUNNING"


def test_what_is_no_api_of_sagas_is_said_to_be_none(
    far: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = FastAPI()
    other.get("/html/api/sagas", response_class=HTMLResponse)(lambda: "<h1>It works!</h1>")
    other.get("/odd/api/sagas")(lambda: {"message": "hello"})
    other.get("/busy/api/sagas", status_code=503)(lambda: {"detail": "too many ask"})
    other.get("/full/api/sagas", status_code=502, response_class=HTMLResponse)(lambda: "<h1>")
    other.get("/moved/api/sagas")(lambda: RedirectResponse("https://elsewhere/"))

    with served(other) as address:
        for path in ("html", "odd", "none"):
            assert "as new as this command" in far.fails(1, "list", f"--url={address}/{path}")
        assert "too many ask; try again" in far.fails(1, "list", f"--url={address}/busy")
        assert "is not ready (502); try again" in far.fails(1, "list", f"--url={address}/full/")
        assert "https://elsewhere/" in far.fails(1, "list", f"--url={address}/moved")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setattr(
            wire.Wire.ask,
            "__kwdefaults__",
            {**(wire.Wire.ask.__kwdefaults__ or {}), "answer_seconds": 0.05},
        )
        assert "did not answer in time" in far.fails(1, "list", f"--url=http://127.0.0.1:{port}")
    assert "cannot be reached" in far.fails(1, "list", f"--url=http://127.0.0.1:{port}")
    for odd in ("sagas", "ftp://host", "http://", "http://me:key@host", "http://h:x", "http://[h"):
        far.fails(2, "list", f"--url={odd}")


def test_a_saga_is_watched_over_http_until_it_rests(
    shop: Shop, far: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never() -> None:
        raise AssertionError("its stream tells when it moves")

    monkeypatch.setattr(watch, "_wait", never)
    saga_id = shop.start()
    worker = threading.Timer(0.2, shop.work_off)
    worker.start()

    told = far.lines("watch", saga_id)

    worker.join()
    assert [event["kind"] for event in told] == shop.kinds(saga_id)
    assert told[-1]["kind"] == "completed"


def test_a_saga_is_watched_by_its_stream_which_is_asked_again_where_it_ends(
    shop: Shop, far: Desk
) -> None:
    saga_id = shop.start(business_key="tea\u2028")
    shop.work_off()
    whole = json.loads(far.says("show", saga_id, "--json"))
    other, asked = FastAPI(), []

    @other.get(f"/api/sagas/{saga_id}")
    def show() -> Any:
        return whole

    @other.get(f"/api/sagas/{saga_id}/stream")
    def stream(last_event_id: Annotated[str | None, Header()] = None) -> StreamingResponse:
        asked.append(last_event_id)
        after = int(last_event_id or 0)
        events = [event for event in whole["events"] if event["seq"] > after][:4]
        last = events[-1]["seq"]
        ended = last == whole["saga"]["version"]
        saga = whole["saga"] | {"status": "COMPLETED" if ended else "RUNNING"}
        data = json.dumps(whole | {"saga": saga, "events": events}, ensure_ascii=False)
        lines = f": hello\n\nretry: 1000\n\nevent: saga\nid: {last}\ndata: {data}\n\n: bye\n\n"
        sent = lines.encode()
        pieces = (sent[place : place + 999] for place in range(0, len(sent), 999))
        return StreamingResponse(pieces, media_type="text/event-stream")

    with served(other) as address:
        told = far.lines("watch", saga_id, f"--url={address}")
        far.at_a_terminal()
        said = far.says("watch", saga_id, f"--url={address}")

    assert told == whole["events"]
    assert asked[:3] == [None, "4", "8"]
    assert said.index("is RUNNING") < said.rindex(f"{saga_id} is COMPLETED")


def test_what_needs_the_machine_itself_says_so(far: Desk, tmp_path: Path) -> None:
    for command in ("up", "down", "migrate", "doctor", "graph", "seed", "nonsense"):
        assert "leave out --url" in far.fails(2, command)
    assert "give one of them" in far.fails(2, "list", "--url=http://h", f"--data={tmp_path}")
    far.says("doctor", "--help")
    code, out, err = far.run("--help")
    assert (code, "--url" in out, err) == (0, True, ""), "the application was not looked for"
    # The folder that is named now goes before what is set for all commands.
    assert "no stack runs" in far.fails(5, "list", f"--data={tmp_path}")
