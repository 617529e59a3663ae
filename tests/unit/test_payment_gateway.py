"""The client against answers that no sandbox gives: proxies, strangers, half a provider."""

import pickle
from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest

from gateways.payments import (
    ProviderBusy,
    RefundRefused,
    RefundRequest,
    RefundStatus,
    SandboxGateway,
    UnexpectedAnswer,
)

REQUEST = RefundRequest(
    refund_no="R1",
    payment_no="PAY1",
    payment_minor=10_000,
    amount_minor=10_000,
    currency="CNY",
    reason="broken",
)
DONE = {"refundNo": "R1", "paymentNo": "PAY1", "amount": "100.00", "status": "SUCCESS"}


@pytest.fixture
def gateway_to(monkeypatch: pytest.MonkeyPatch) -> Callable[[httpx.Response], SandboxGateway]:
    def build(response: httpx.Response) -> SandboxGateway:
        gateway = SandboxGateway("http://provider.test", timedelta(seconds=1))
        client = httpx.Client(
            base_url="http://provider.test",
            transport=httpx.MockTransport(lambda _: response),
        )
        monkeypatch.setattr(gateway, "_client", lambda: client)
        return gateway

    return build


Build = Callable[[httpx.Response], SandboxGateway]


def test_a_refund_is_answered_as_the_provider_has_it(gateway_to: Build) -> None:
    answer = gateway_to(httpx.Response(200, json=DONE)).refund(REQUEST)

    assert (answer.refund_no, answer.status, answer.amount_minor, answer.raw) == (
        "R1",
        RefundStatus.SUCCESS,
        10_000,
        DONE,
    )


@pytest.mark.parametrize("status_code", [400, 404])
def test_the_providers_no_is_a_refusal(gateway_to: Build, status_code: int) -> None:
    said = httpx.Response(status_code, json={"code": "AMOUNT_EXCEEDED", "message": "too much"})

    with pytest.raises(RefundRefused, match="AMOUNT_EXCEEDED: too much") as refused:
        gateway_to(said).refund(REQUEST)

    assert (refused.value.code, refused.value.message) == ("AMOUNT_EXCEEDED", "too much")


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404, json={"detail": "Not Found"}),
        httpx.Response(400, text="<html>Bad Request</html>"),
        httpx.Response(401, json={"code": "UNAUTHORIZED"}),
        httpx.Response(409, json={"code": "CONFLICT"}),
        httpx.Response(500, json={"code": "SYSTEM_ERROR", "message": "try again"}),
        httpx.Response(502, text="Bad Gateway"),
        httpx.Response(503, text="Service Unavailable"),
        httpx.Response(302, headers={"Location": "http://elsewhere.test"}),
        httpx.Response(200, text="<html>Welcome to the hotel</html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json=DONE | {"status": "WELL"}),
        httpx.Response(200, json=DONE | {"refundNo": "R2"}),
        httpx.Response(200, json=DONE | {"amount": "99.00"}),
        httpx.Response(200, json=DONE | {"amount": "lots"}),
    ],
)
def test_an_answer_that_proves_nothing_leaves_the_outcome_unknown(
    gateway_to: Build, answer: httpx.Response
) -> None:
    with pytest.raises(UnexpectedAnswer):
        gateway_to(answer).refund(REQUEST)


def test_an_error_of_the_provider_is_told_by_its_code_and_message(gateway_to: Build) -> None:
    answer = httpx.Response(500, json={"code": "SYSTEM_ERROR", "message": "try later"})

    with pytest.raises(UnexpectedAnswer, match=r"answered 500: SYSTEM_ERROR try later$"):
        gateway_to(answer).refund(REQUEST)


@pytest.mark.parametrize(
    ("status_code", "headers", "after"),
    [
        (429, {"Retry-After": "7"}, timedelta(seconds=7)),
        (503, {"Retry-After": "2"}, timedelta(seconds=2)),
        (429, {}, timedelta(seconds=5)),
        (429, {"Retry-After": "soon"}, timedelta(seconds=5)),
        (429, {"Retry-After": "99999999999999999999"}, timedelta(seconds=5)),
        (429, {"Retry-After": "86400"}, timedelta(hours=1)),
        (503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, timedelta()),
    ],
)
def test_a_busy_provider_says_when_to_call_again(
    gateway_to: Build, status_code: int, headers: dict[str, str], after: timedelta
) -> None:
    with pytest.raises(ProviderBusy) as busy:
        gateway_to(httpx.Response(status_code, headers=headers)).refund(REQUEST)

    assert busy.value.after == after


def test_only_the_providers_own_word_means_that_there_is_no_refund(gateway_to: Build) -> None:
    own = httpx.Response(404, json={"code": "REFUND_NOT_FOUND", "message": "no"})
    assert gateway_to(own).find_refund("R1", payment_no="PAY1") is None

    for other in (
        httpx.Response(404, json={"detail": "Not Found"}),
        httpx.Response(400, json={"code": "REFUSED", "message": "no"}),
        httpx.Response(200, json=DONE | {"refundNo": "R2"}),
    ):
        with pytest.raises(UnexpectedAnswer):
            gateway_to(other).find_refund("R1", payment_no="PAY1")


def test_another_currency_is_refused_before_anything_is_sent() -> None:
    gateway = SandboxGateway("http://nowhere.invalid", timedelta(seconds=1))
    request = RefundRequest(
        refund_no="R1",
        payment_no="PAY1",
        payment_minor=1,
        amount_minor=1,
        currency="USD",
        reason="",
    )

    with pytest.raises(RefundRefused, match="CURRENCY_NOT_SUPPORTED"):
        gateway.refund(request)


def test_errors_keep_their_fields_between_processes() -> None:
    refused = pickle.loads(pickle.dumps(RefundRefused("REFUSED", "no")))
    busy = pickle.loads(pickle.dumps(ProviderBusy(timedelta(seconds=3))))

    assert (refused.code, refused.message, str(refused)) == (
        "REFUSED",
        "no",
        "the provider refused the refund: REFUSED: no",
    )
    assert busy.after == timedelta(seconds=3)
