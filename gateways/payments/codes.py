"""What the providers' error codes mean for a refund: one table a provider."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import assert_never

from gateways.payments.gateway import PersonNeeded, ProviderBusy, RefundRefused, UnexpectedAnswer

_BUSY_FOR = timedelta(seconds=5)
_TOP_UP = "top up the merchant account, then retry"


class Meaning(Enum):
    REFUSED = auto()
    """This call did nothing and never will."""
    TRY_AGAIN = auto()
    """This call did nothing; the same one may do it later."""
    UNKNOWN = auto()
    """Nobody knows whether it was done: the same call again, or the query, tells."""
    LOOK = auto()
    """It may speak of an earlier refund with that number: the query tells which."""
    PERSON = auto()
    """This call did nothing, and will not until a person has acted."""


@dataclass(frozen=True)
class Code:
    meaning: Meaning
    advice: str = ""


_REFUSED = Code(Meaning.REFUSED)
_TRY_AGAIN = Code(Meaning.TRY_AGAIN)
_UNKNOWN = Code(Meaning.UNKNOWN)
_LOOK = Code(Meaning.LOOK)

# https://pay.weixin.qq.com/doc/v3/merchant/4012791862 (refund), its error codes, and the codes
# that all methods share, https://pay.weixin.qq.com/doc/v3/merchant/4012070705.
WECHATPAY: Mapping[tuple[int, str], Code] = {
    (400, "PARAM_ERROR"): _REFUSED,
    # Said of too much, of a payment too old, and of other parameters under a number used before.
    (400, "INVALID_REQUEST"): _LOOK,
    (401, "SIGN_ERROR"): _REFUSED,
    (403, "NO_AUTH"): _REFUSED,
    (403, "NOT_ENOUGH"): Code(Meaning.PERSON, _TOP_UP),
    (403, "USER_ACCOUNT_ABNORMAL"): _REFUSED,
    (404, "MCH_NOT_EXISTS"): _REFUSED,
    (404, "RESOURCE_NOT_EXISTS"): _REFUSED,
    (429, "FREQUENCY_LIMITED"): _TRY_AGAIN,
    (429, "FREQUENCY_LIMIT_EXCEED"): _TRY_AGAIN,
    (429, "RATELIMIT_EXCEEDED"): _TRY_AGAIN,
    (500, "SYSTEM_ERROR"): _UNKNOWN,
}

# https://opendocs.alipay.com/open/02e7go (alipay.trade.refund), its business error codes.
ALIPAY: Mapping[str, Code] = {
    "ACQ.SYSTEM_ERROR": _UNKNOWN,
    "ACQ.REFUND_CHARGE_ERROR": _UNKNOWN,
    "ACQ.SELLER_BALANCE_NOT_ENOUGH": Code(Meaning.PERSON, _TOP_UP),
    "ACQ.REASON_TRADE_BEEN_FREEZEN": Code(
        Meaning.PERSON, "ask Alipay why the payment is frozen, then retry"
    ),
    "ACQ.DISCORDANT_REPEAT_REQUEST": _LOOK,
    # A payment is closed once all of it was refunded, maybe by this very refund.
    "ACQ.TRADE_HAS_CLOSE": _LOOK,
    "ACQ.BUYER_ENABLE_STATUS_FORBID": _REFUSED,
    "ACQ.BUYER_ERROR": _REFUSED,
    "ACQ.BUYER_NOT_EXIST": _REFUSED,
    "ACQ.CUSTOMER_VALIDATE_ERROR": _REFUSED,
    "ACQ.INVALID_PARAMETER": _REFUSED,
    "ACQ.NOT_ALLOW_PARTIAL_REFUND": _REFUSED,
    "ACQ.ONLINE_TRADE_VOUCHER_NOT_ALLOW_REFUND": _REFUSED,
    "ACQ.REASON_TRADE_REFUND_FEE_ERR": _REFUSED,
    "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL": _REFUSED,
    "ACQ.REFUND_FEE_ERROR": _REFUSED,
    "ACQ.TRADE_HAS_FINISHED": _REFUSED,
    "ACQ.TRADE_NOT_ALLOW_REFUND": _REFUSED,
    "ACQ.TRADE_NOT_EXIST": _REFUSED,
    "ACQ.TRADE_STATUS_ERROR": _REFUSED,
    "ACQ.USER_NOT_MATCH_ERR": _REFUSED,
}

# https://opendocs.alipay.com/common/02km9f (common codes): what the gateway itself says, before any
# method is run. `isp.` and `aop.` codes are not among them: they prove nothing.
ALIPAY_GATEWAY: Mapping[str, Code] = {
    "isv.app-call-limited": _TRY_AGAIN,
    "isv.method-call-limited": _TRY_AGAIN,
    "isv.insufficient-isv-permissions": _REFUSED,
    "isv.insufficient-user-permissions": _REFUSED,
    "isv.invalid-app-id": _REFUSED,
    "isv.invalid-charset": _REFUSED,
    "isv.invalid-encoding": _REFUSED,
    "isv.invalid-format": _REFUSED,
    "isv.invalid-method": _REFUSED,
    "isv.invalid-parameter": _REFUSED,
    "isv.invalid-signature": _REFUSED,
    "isv.invalid-signature-type": _REFUSED,
    "isv.invalid-timestamp": _REFUSED,
    "isv.missing-app-id": _REFUSED,
    "isv.missing-method": _REFUSED,
    "isv.missing-signature": _REFUSED,
    "isv.missing-signature-config": _REFUSED,
    "isv.missing-signature-type": _REFUSED,
    "isv.missing-timestamp": _REFUSED,
}


def error(code: str, message: str, known: Code) -> Exception:
    """Return what to raise for a code of the tables. LOOK, once a look found nothing: refused."""
    match known.meaning:
        case Meaning.REFUSED | Meaning.LOOK:
            return RefundRefused(code, message)
        case Meaning.TRY_AGAIN:
            return ProviderBusy(_BUSY_FOR)
        case Meaning.PERSON:
            return PersonNeeded(code, message, advice=known.advice)
        case Meaning.UNKNOWN:
            return UnexpectedAnswer(f"the provider does not know itself: {code}: {message}")
        case _:
            assert_never(known.meaning)
