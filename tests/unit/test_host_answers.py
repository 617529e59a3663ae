"""What a Docker Engine answers, word for word, and what we take it for."""

import ssl

import pytest
import urllib3.exceptions
from requests.exceptions import ConnectionError as NoConnection
from urllib3.connection import HTTPConnection

from gateways.devices import (
    HostAway,
    HostError,
    HostRefused,
    ImageMissing,
    NameTaken,
    NoSuchContainer,
    PortTaken,
)
from gateways.devices.answers import (
    Asked,
    RemovalUnderWay,
    away,
    in_our_words,
    is_other_version,
)
from gateways.devices.description import container_of

pytestmark = pytest.mark.unit

ENDPOINT = "driver failed programming external connectivity on endpoint bb1 (f9cf58c6a3fb): "
NETWORK = "failed to set up container networking: " + ENDPOINT
RUNC = "failed to create shim task: OCI runtime create failed: runc create failed: "

SAID = [
    (Asked.CREATE, 404, "No such image: nothere:x", ImageMissing),
    (Asked.CREATE, 404, "network devices not found", HostRefused),
    (
        Asked.CREATE,
        409,
        'Conflict. The container name "/a" is already in use by container "18e2".',
        NameTaken,
    ),
    (Asked.CREATE, 400, "invalid reference format", HostRefused),
    (Asked.CREATE, 403, "authorization denied by plugin", HostRefused),
    (Asked.CREATE, 500, "no space left on device", HostAway),
    (Asked.CREATE, 429, "", HostAway),
    (Asked.START, 500, ENDPOINT + "Bind for 127.0.0.1:5555 failed: port is already allocated", 0),
    (
        Asked.START,
        500,
        ENDPOINT + "Error starting userland proxy: listen tcp4 127.0.0.1:15777: bind: address "
        "already in use",
        0,
    ),
    (
        Asked.START,
        500,
        NETWORK + "failed to bind host port for 127.0.0.1:5555:172.17.0.2:5555/tcp: address "
        "already in use",
        0,
    ),
    (Asked.START, 404, "No such container: zz", NoSuchContainer),
    (Asked.START, 409, "container is marked for removal and cannot be started", NoSuchContainer),
    (Asked.START, 409, "cannot start a paused container, try unpause instead", HostRefused),
    (Asked.START, 400, RUNC + "exec: stat /nothere: no such file or directory", HostRefused),
    (Asked.START, 500, RUNC + "unable to start container process: cannot allocate", HostAway),
    (Asked.STOP, 404, "No such container: zz", NoSuchContainer),
    (Asked.STOP, 500, ENDPOINT + "address already in use", HostAway),
    (Asked.REMOVE, 404, "No such container: zz", NoSuchContainer),
    (Asked.REMOVE, 409, "removal of container zz is already in progress", RemovalUnderWay),
    (Asked.REMOVE, 409, "You cannot remove a running container zz", HostRefused),
    (Asked.REMOVE, 500, "could not kill container: unable to remove its cgroup", HostAway),
    (Asked.LOOK, 404, "No such container: zz", NoSuchContainer),
    (Asked.LOOK, 404, "no such image: nothere:x: No such image: nothere:x", NoSuchContainer),
    (Asked.LOOK, 502, "<html>Bad Gateway", HostAway),
    # Of a web server that is no engine at all.
    (Asked.LOOK, 404, "<html>404 Not Found", HostRefused),
    (Asked.REMOVE, 404, "page not found", HostRefused),
]


@pytest.mark.parametrize(("asked", "status", "said", "error"), SAID)
def test_an_answer_is_taken_for_what_it_is(
    asked: Asked, status: int, said: str, error: type[HostError] | int
) -> None:
    found = in_our_words("the host", asked, "zz", status, said, image="nothere:x")

    assert type(found) is (error or PortTaken)


@pytest.mark.parametrize(
    ("asked", "status", "said", "setting"),
    [
        (
            Asked.CREATE,
            500,
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
            "DEVICE_STORAGE_LIMIT",
        ),
        (
            Asked.CREATE,
            400,
            "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
            "DEVICE_LIMITS",
        ),
        (Asked.CREATE, 400, "Minimum memory limit allowed is 6MB", "DEVICE_LIMITS"),
        (
            Asked.CREATE,
            400,
            "privileged mode is incompatible with user namespaces.",
            "DEVICE_PRIVILEGED",
        ),
        (
            Asked.START,
            500,
            RUNC + "unable to apply caps: operation not permitted: unknown",
            "DEVICE_PRIVILEGED",
        ),
        (
            Asked.START,
            500,
            ENDPOINT + "Error starting userland proxy: listen tcp4 10.99.99.99:15778: bind: "
            "cannot assign requested address",
            "DEVICE_BIND_ADDRESS",
        ),
        (
            Asked.START,
            500,
            NETWORK + "failed to bind host port 10.99.99.99:5555/tcp: cannot assign requested "
            "address",
            "DEVICE_BIND_ADDRESS",
        ),
    ],
)
def test_what_a_host_cannot_give_is_refused_with_the_setting_to_change(
    asked: Asked, status: int, said: str, setting: str
) -> None:
    found = in_our_words("the host", asked, "zz", status, said)

    assert isinstance(found, HostRefused)
    assert setting in str(found)


def test_a_page_full_of_words_is_told_in_a_line() -> None:
    assert len(str(in_our_words("h", Asked.LOOK, "zz", 502, "<html>\n" * 500))) < 400


@pytest.mark.parametrize(
    ("cause", "sent"),
    [
        (urllib3.exceptions.ProtocolError("aborted", ConnectionResetError(104, "reset")), True),
        (urllib3.exceptions.ProtocolError("aborted", FileNotFoundError(2, "none")), False),
        (urllib3.exceptions.ProtocolError("aborted", ConnectionRefusedError(111, "no")), False),
        (urllib3.exceptions.ProtocolError("aborted", PermissionError(13, "denied")), False),
        (
            urllib3.exceptions.MaxRetryError(
                None,  # type: ignore[arg-type]
                "/",
                urllib3.exceptions.NewConnectionError(HTTPConnection("host"), "refused"),
            ),
            False,
        ),
        (
            urllib3.exceptions.MaxRetryError(
                None,  # type: ignore[arg-type]
                "/",
                urllib3.exceptions.SSLError(ssl.SSLCertVerificationError("self-signed")),
            ),
            False,
        ),
        (urllib3.exceptions.ReadTimeoutError(None, "/", "read timed out"), True),  # type: ignore[arg-type]
    ],
)
def test_it_is_told_whether_a_request_can_have_reached_the_host(
    cause: Exception, *, sent: bool
) -> None:
    assert away("the host", NoConnection(cause)).sent is sent


def test_who_does_not_know_us_is_told_by_the_setting() -> None:
    alert = urllib3.exceptions.SSLError(ssl.SSLError(1, "tlsv1 alert unknown ca"))

    found = away("the host", NoConnection(alert))

    assert "DEVICE_HOST_CERTS" in str(found)
    assert found.sent


def test_what_went_wrong_before_does_not_say_that_this_request_was_not_sent() -> None:
    before, now = ConnectionRefusedError(111, "no"), NoConnection("cut off")
    now.__context__ = before  # as of a call from within a handler

    assert away("the host", now).sent


def test_an_error_that_names_itself_as_its_cause_is_an_error_like_any_other() -> None:
    error = NoConnection("cut off")
    error.args = (error,)

    assert away("the host", error).sent


@pytest.mark.parametrize(
    ("status", "said", "is_so"),
    [
        (400, "client version 1.41 is too old. Minimum supported API version is 1.44", True),
        (400, "client version 1.99 is too new. Maximum supported API version is 1.41", True),
        (400, "Invalid container name", False),
    ],
)
def test_an_engine_that_was_exchanged_is_known_by_its_words(
    status: int, said: str, *, is_so: bool
) -> None:
    assert is_other_version(status, said) is is_so


def test_a_container_that_never_ran_has_neither_a_start_nor_an_exit_code() -> None:
    # As an engine tells of one whose port was taken.
    seen = {
        "Id": "41e89eeab381",
        "Name": "/bb1",
        "Created": "2026-11-23T04:39:26.412847847Z",
        "State": {"Status": "created", "ExitCode": 128, "StartedAt": "0001-01-01T00:00:00Z"},
        "HostConfig": {
            "PortBindings": {"5555/tcp": [{"HostIp": "127.0.0.1", "HostPort": "15555"}]}
        },
        "Config": {"Labels": None},
    }

    found = container_of(seen)

    assert (found.name, found.port, found.labels) == ("bb1", 15555, {})
    assert (found.started_at, found.exit_code) == (None, None)
    assert found.created_at.isoformat() == "2026-11-23T04:39:26.412847+00:00"
