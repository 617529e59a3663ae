"""Where payment providers call back. Their signature is their key; answers are in their form."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse

from gateways.account import AccountFaulty
from gateways.payments import CallbackRejected
from saga import Engine
from saga.logs import log_error
from tasks.doors import NoSuchDoor, payment_gateway
from workflows.refund_callbacks import take_notice

log = structlog.get_logger("refunds")

LARGEST_CALLBACK = 65_536


@dataclass(frozen=True)
class Form:
    """How a provider wants to be answered: what is not taken comes again, for a day or longer."""

    taken: Callable[[], Response]
    not_taken: Callable[[int, str], Response]


# https://pay.weixin.qq.com/doc/v3/merchant/4013070388
WECHAT = Form(
    taken=lambda: JSONResponse({"code": "SUCCESS", "message": "OK"}),
    not_taken=lambda status, why: JSONResponse({"code": "FAIL", "message": why}, status),
)
# https://opendocs.alipay.com/open/203/105286: whatever is not this one word is a no.
ALIPAY = Form(
    taken=lambda: PlainTextResponse("success"),
    not_taken=lambda status, _why: PlainTextResponse("failure", status),
)


def router(engine: Engine) -> APIRouter:
    """The routes that providers call. They are open: each call proves itself by its signature."""
    routes = APIRouter(tags=["webhooks"])

    @routes.post(
        "/api/webhooks/wechat",
        response_class=JSONResponse,
        responses=_not_taken("application/json"),
    )
    async def wechat(request: Request) -> Response:
        """WeChat Pay tells of a refund: signed by RSA, sealed by AES, at most five minutes old."""
        return await _hear(engine, request, "wechat", WECHAT)

    @routes.post(
        "/api/webhooks/alipay",
        response_class=PlainTextResponse,
        responses=_not_taken("text/plain"),
    )
    async def alipay(request: Request) -> Response:
        """Alipay tells of a refund: a form signed by RSA2, at most five minutes old."""
        return await _hear(engine, request, "alipay", ALIPAY)

    return routes


def _not_taken(media_type: str) -> dict[int | str, dict[str, Any]]:
    """What a provider is told of a call that must come again, for OpenAPI."""
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {media_type: {}}}
        for status in (401, 404, 413, 500)
    }


async def _hear(engine: Engine, request: Request, method: str, form: Form) -> Response:
    body = await request.body()
    if len(body) > LARGEST_CALLBACK:
        return form.not_taken(413, f"a callback has at most {LARGEST_CALLBACK} bytes")
    return await run_in_threadpool(_take, engine, dict(request.headers), body, method, form)


def _take(
    engine: Engine, headers: dict[str, str], body: bytes, method: str, form: Form
) -> Response:
    try:
        gateway = payment_gateway(method)
        notice = gateway.verify_callback(headers, body, now=datetime.now(UTC))
        if notice is None:
            log.info("callback that tells of no refund", provider=method)
            return form.taken()
        take_notice(
            engine,
            notice,
            method=method,
            ask=lambda: gateway.find_refund(notice.refund_no, payment_no=notice.payment_no),
        )
    except CallbackRejected as rejected:
        log.warning("callback rejected", provider=method, why=str(rejected))
        return form.not_taken(401, str(rejected))
    except (NoSuchDoor, AccountFaulty):
        return form.not_taken(404, f"{method} is not set up here")
    except Exception as error:  # noqa: BLE001
        # Whatever it is, the provider is to tell it again.
        log_error(log, "callback not taken", error, provider=method)
        return form.not_taken(500, "it could not be taken just now; send it again")
    return form.taken()
