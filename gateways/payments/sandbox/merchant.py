"""Who the sandbox takes for its merchant, and what makes us that."""

from pathlib import Path

# The files that the merchant reads, in the folder of the sandbox's keys.
WECHATPAY, ALIPAY = "wechatpay", "alipay"
MERCHANT_KEY = "{}-merchant-key.pem"
PUBLIC_KEY = "{}-public-key.pem"
APIV3_KEY = "wechatpay-apiv3-key"

MCHID = "1900000001"
CERT_SERIAL_NO = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"
PUBLIC_KEY_ID = "PUB_KEY_ID_0119000000012026010100000000000001"
APP_ID = "2021000000000001"
SELLER_ID = "2088000000000001"


def environment(url: str, keys: Path) -> dict[str, str]:
    """Return the settings with which our gateways refund through the sandbox at `url`.

    `keys` is the folder of its keys. Every setting that could name another provider's account is
    among them, empty if it must not be set.
    """
    return {
        "WECHATPAY_MCHID": MCHID,
        "WECHATPAY_CERT_SERIAL_NO": CERT_SERIAL_NO,
        "WECHATPAY_PRIVATE_KEY": "",
        "WECHATPAY_PRIVATE_KEY_FILE": str(keys / MERCHANT_KEY.format(WECHATPAY)),
        "WECHATPAY_APIV3_KEY": "",
        "WECHATPAY_APIV3_KEY_FILE": str(keys / APIV3_KEY),
        "WECHATPAY_PUBLIC_KEY": "",
        "WECHATPAY_PUBLIC_KEY_FILE": str(keys / PUBLIC_KEY.format(WECHATPAY)),
        "WECHATPAY_PUBLIC_KEY_ID": PUBLIC_KEY_ID,
        "WECHATPAY_URL": url,
        "ALIPAY_APP_ID": APP_ID,
        "ALIPAY_PRIVATE_KEY": "",
        "ALIPAY_PRIVATE_KEY_FILE": str(keys / MERCHANT_KEY.format(ALIPAY)),
        "ALIPAY_PUBLIC_KEY": "",
        "ALIPAY_PUBLIC_KEY_FILE": str(keys / PUBLIC_KEY.format(ALIPAY)),
        "ALIPAY_URL": f"{url}/gateway.do",
    }
