"""What the providers post to a merchant's address when a refund has changed."""

import base64
import json
import secrets
import time
from dataclasses import dataclass
from urllib.parse import urlencode

import httpx
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateways.payments.gateway import RefundStatus
from gateways.payments.money import from_minor
from gateways.payments.sandbox import alipay, wechat
from gateways.payments.sandbox.entries import ALIPAY, WECHAT, Callback
from gateways.payments.sandbox.keys import KeyRing
from gateways.payments.sandbox.merchant import APP_ID, MCHID, SELLER_ID

_SUMMARIES = {
    RefundStatus.SUCCESS: "refunded",
    RefundStatus.CLOSED: "refund closed",
    RefundStatus.ABNORMAL: "refund abnormal",
}


@dataclass(frozen=True)
class Notice:
    """One post, signed anew each time it is made."""

    headers: dict[str, str]
    body: str


def notice(callback: Callback, keys: KeyRing) -> Notice | None:
    """Return what to post; None: this provider says nothing of such an event."""
    if callback.refund.method == WECHAT:
        return _of_wechat(callback, keys)
    # Alipay tells of money that went back, and of nothing else.
    if callback.refund.method == ALIPAY and callback.refund.status is RefundStatus.SUCCESS:
        return _of_alipay(callback, keys)
    return None


def is_taken(callback: Callback, answer: httpx.Response) -> bool:
    """Tell whether the merchant has heard: WeChat Pay asks for 2xx, Alipay for its one word."""
    if callback.refund.method == WECHAT:
        return answer.is_success
    return answer.is_success and answer.text.strip() == "success"


def _of_wechat(callback: Callback, keys: KeyRing) -> Notice:
    # https://pay.weixin.qq.com/doc/v3/merchant/4013070388
    refund = callback.refund
    resource = {
        "mchid": MCHID,
        "transaction_id": wechat.transaction_id(refund),
        "out_trade_no": refund.payment_no,
        "refund_id": wechat.refund_id(refund),
        "out_refund_no": refund.refund_no,
        "refund_status": refund.status.value,
        "user_received_account": wechat.RECEIVED_BY,
        "amount": {
            "total": refund.payment_minor,
            "refund": refund.amount_minor,
            "payer_total": refund.payment_minor,
            "payer_refund": refund.amount_minor,
        },
    }
    if refund.done_at is not None:
        resource["success_time"] = wechat.at(refund.done_at)
    nonce = secrets.token_hex(6)
    text = json.dumps(resource, ensure_ascii=False).encode()
    sealed = AESGCM(keys.apiv3_key).encrypt(nonce.encode(), text, b"refund")
    body = json.dumps(
        {
            "id": callback.event_id,
            "create_time": wechat.at(time.time()),
            "resource_type": "encrypt-resource",
            "event_type": f"REFUND.{refund.status}",
            "summary": _SUMMARIES[refund.status],
            "resource": {
                "original_type": "refund",
                "algorithm": "AEAD_AES_256_GCM",
                "ciphertext": base64.b64encode(sealed).decode(),
                "associated_data": "refund",
                "nonce": nonce,
            },
        },
        ensure_ascii=False,
    )
    return Notice(wechat.platform_headers(keys.wechatpay, body), body)


def _of_alipay(callback: Callback, keys: KeyRing) -> Notice:
    # https://opendocs.alipay.com/open/203/105286: with refund_fee it tells of a refund.
    refund = callback.refund
    is_all = callback.refunded_minor >= refund.payment_minor
    said = {
        "notify_time": alipay.at(time.time()),
        "notify_type": "trade_status_sync",
        "notify_id": callback.event_id,
        "app_id": APP_ID,
        "charset": "utf-8",
        "version": "1.0",
        "trade_no": alipay.trade_no(refund.payment_no),
        "out_trade_no": refund.payment_no,
        "out_biz_no": refund.refund_no,
        "seller_id": SELLER_ID,
        "trade_status": "TRADE_CLOSED" if is_all else "TRADE_SUCCESS",
        "total_amount": from_minor(refund.payment_minor),
        "refund_fee": from_minor(callback.refunded_minor),
        "gmt_refund": alipay.at(refund.done_at or refund.created_at, timespec="milliseconds"),
    }
    # Sorted, without sign and sign_type, as they are before they are put into a form.
    text = "&".join(f"{name}={word}" for name, word in sorted(said.items()))
    form = said | {"sign_type": "RSA2", "sign": keys.alipay.sign(text)}
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    return Notice(headers, urlencode(form))
