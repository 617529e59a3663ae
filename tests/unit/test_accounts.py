"""What is said of an account that is set up by half or wrongly; no secret is ever in it."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateways.account import AccountFaulty, is_loopback, is_open
from gateways.payments.accounts import AlipayAccount, WechatPayAccount
from tests.unit.wire import APIV3_KEY, APP_ID, MCHID, PUBLIC_KEY_ID, private_pem, public_pem


@pytest.fixture(scope="session")
def wechat(ours: rsa.RSAPrivateKey, theirs: rsa.RSAPrivateKey) -> dict[str, str]:
    return {
        "WECHATPAY_MCHID": MCHID,
        "WECHATPAY_CERT_SERIAL_NO": "5157F09E",
        "WECHATPAY_PRIVATE_KEY": private_pem(ours),
        "WECHATPAY_APIV3_KEY": APIV3_KEY,
        "WECHATPAY_PUBLIC_KEY": public_pem(theirs),
        "WECHATPAY_PUBLIC_KEY_ID": PUBLIC_KEY_ID,
    }


@pytest.fixture(scope="session")
def alipay(ours: rsa.RSAPrivateKey, theirs: rsa.RSAPrivateKey) -> dict[str, str]:
    return {
        "ALIPAY_APP_ID": APP_ID,
        "ALIPAY_PRIVATE_KEY": private_pem(ours),
        "ALIPAY_PUBLIC_KEY": public_pem(theirs),
    }


def faults(given: dict[str, str]) -> list[str]:
    kind = WechatPayAccount if "WECHATPAY_MCHID" in given else AlipayAccount
    with pytest.raises(AccountFaulty) as faulty:
        kind.read(given)
    said = [str(fault) for fault in faulty.value.faults]
    for secret in (text for name, text in given.items() if name.endswith(("_KEY", "_KEY_FILE"))):
        assert not secret or secret not in " ".join(said)
    return said


def test_nothing_set_is_no_account_and_no_fault() -> None:
    assert WechatPayAccount.read({}) is None
    assert AlipayAccount.read({"ALIPAY_APP_ID": " ", "WECHATPAY_MCHID": MCHID}) is None


def test_an_account_has_the_real_address_and_shows_no_secret(
    wechat: dict[str, str], alipay: dict[str, str]
) -> None:
    account = WechatPayAccount.read(wechat)
    application = AlipayAccount.read(alipay)

    assert repr(account) == (
        f"WechatPayAccount(mchid='{MCHID}', cert_serial_no='5157F09E', "
        f"public_key_id='{PUBLIC_KEY_ID}', url='https://api.mch.weixin.qq.com')"
    )
    assert repr(application) == (
        f"AlipayAccount(app_id='{APP_ID}', url='https://openapi.alipay.com/gateway.do')"
    )


def test_a_secret_may_stand_in_a_file(alipay: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(alipay["ALIPAY_PRIVATE_KEY"] + "\n\n")
    given = alipay | {"ALIPAY_PRIVATE_KEY": "", "ALIPAY_PRIVATE_KEY_FILE": str(file)}

    assert AlipayAccount.read(given) == AlipayAccount.read(alipay)


def test_all_that_is_missing_is_said_at_once() -> None:
    assert faults({"WECHATPAY_MCHID": MCHID}) == [
        "WECHATPAY_CERT_SERIAL_NO is not set: set it, as WECHATPAY_MCHID is",
        "WECHATPAY_PUBLIC_KEY_ID is not set: set it, as WECHATPAY_MCHID is",
        "WECHATPAY_APIV3_KEY is not set: set it or WECHATPAY_APIV3_KEY_FILE, as WECHATPAY_MCHID is",
        *(
            f"{name} is not set: set it or {name}_FILE, as WECHATPAY_MCHID is"
            for name in ("WECHATPAY_PRIVATE_KEY", "WECHATPAY_PUBLIC_KEY")
        ),
    ]


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("WECHATPAY_MCHID", "me", "is not a number"),
        ("WECHATPAY_CERT_SERIAL_NO", "0x5157", "is not hexadecimal"),
        ("WECHATPAY_PUBLIC_KEY_ID", "5157F09E", "does not begin with PUB_KEY_ID_"),
        ("WECHATPAY_APIV3_KEY", APIV3_KEY[1:], "is not 32 bytes long"),
        ("WECHATPAY_APIV3_KEY_FILE", "/no/such", "and WECHATPAY_APIV3_KEY_FILE are both set"),
        ("WECHATPAY_URL", "api.mch.weixin.qq.com", "is not an http or https address"),
        ("WECHATPAY_URL", "ftp://api.test", "is not an http or https address"),
        ("WECHATPAY_URL", "https://", "is not an http or https address"),
        ("WECHATPAY_URL", "https://a.test:99999", "is not an http or https address"),
        ("WECHATPAY_URL", "https://me:secret@a.test", "is not an http or https address"),
        ("ALIPAY_APP_ID", "me", "is not a number"),
        ("ALIPAY_PRIVATE_KEY", "MIIEvQIBADANBgkqhkiG9w0B", "is not a PEM key"),
        (
            "ALIPAY_PRIVATE_KEY",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
            "is not a readable PEM key",
        ),
        ("ALIPAY_PUBLIC_KEY", "-----BEGIN CERTIFICATE-----\nAAAA", "is a certificate"),
    ],
)
def test_what_is_wrong_is_said_with_its_variable(
    wechat: dict[str, str], alipay: dict[str, str], variable: str, text: str, said: str
) -> None:
    given = wechat if variable.startswith("WECHATPAY") else alipay

    [fault] = faults(given | {variable: text})

    assert said in fault
    assert fault.startswith(variable.removesuffix("_FILE"))
    assert "me:secret" not in fault


def test_a_key_of_the_wrong_kind_is_told(alipay: dict[str, str], ours: rsa.RSAPrivateKey) -> None:
    locked = ours.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    ).decode()
    curve = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    small = private_pem(rsa.generate_private_key(public_exponent=65537, key_size=1024))
    swapped = {
        "ALIPAY_PRIVATE_KEY": alipay["ALIPAY_PUBLIC_KEY"],
        "ALIPAY_PUBLIC_KEY": alipay["ALIPAY_PRIVATE_KEY"],
    }
    for wrong, said in (
        (swapped, ["is a public key: give the private one", "is a private key: give the public"]),
        ({"ALIPAY_PRIVATE_KEY": locked}, ["is encrypted"]),
        ({"ALIPAY_PRIVATE_KEY": curve.decode()}, ["is not an RSA key"]),
        ({"ALIPAY_PRIVATE_KEY": small}, ["has only 1024 bits"]),
        ({"ALIPAY_PUBLIC_KEY": public_pem(ours)}, ["is our own public key: give Alipay's"]),
    ):
        told = faults(alipay | wrong)
        assert len(told) == len(said)
        assert all(part in fault for part, fault in zip(said, told, strict=True))


def test_a_file_that_has_no_secret_is_told_without_its_name(
    alipay: dict[str, str], tmp_path: Path
) -> None:
    empty, junk = tmp_path / "empty", tmp_path / "junk"
    empty.write_text("\n")
    junk.write_bytes(b"\xff" * 100_000)
    for name, said in (
        (str(tmp_path / "none"), "names a file that cannot be read (No such file or directory)"),
        (str(tmp_path), "names a file that cannot be read (Is a directory)"),
        # Who takes one variable for the other must not find the key in a log.
        (alipay["ALIPAY_PRIVATE_KEY"], "names a file that cannot be read ("),
        (str(empty), "names a file that holds no secret"),
        (str(junk), "names a file that holds no secret"),
    ):
        given = alipay | {"ALIPAY_PRIVATE_KEY": "", "ALIPAY_PRIVATE_KEY_FILE": name}
        [fault] = faults(given)
        assert fault.startswith(f"ALIPAY_PRIVATE_KEY_FILE {said}")


def test_where_an_address_leads_is_told_from_its_host() -> None:
    here = ("http://127.0.0.1:8090", "http://localhost/x", "http://[::1]:80")
    near = ("http://10.0.0.7", "http://sandbox:8090", "https://pay.example.com")
    far = ("http://pay.example.com", "http://1.1.1.1")

    assert [is_loopback(url) for url in (*here, *near, *far)] == [True] * 3 + [False] * 5
    assert [is_open(url) for url in (*here, *near, *far)] == [False] * 6 + [True] * 2
