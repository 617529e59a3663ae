"""What is wrong with a setting is told by its name, and never by what was given."""

import pytest

import settings


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("DEVICE_SETUP", "not JSON", "is not JSON"),
        ("DEVICE_SETUP", "{}", "valid list"),
        ("DEVICE_SETUP", "[7]", "valid string"),
        ("DEVICE_SETUP", '[" "]', "empty command"),
        ("DEVICE_SETUP", '["wm size {w}x{h}"]', "names something else than {width}"),
        ("DEVICE_SETUP", '["echo {0}"]', "names something else"),
        ("DEVICE_SETUP", '["echo {width.real.more}"]', "names something else"),
        ("DEVICE_SETUP", '["echo ${HOME"]', "a brace for the shell is written twice"),
        ("DEVICE_IMAGE", "redroid:{andriod}", "only {android} is filled in"),
        ("DEVICE_IMAGE", "redroid:{android", "only {android} is filled in"),
        ("DEVICE_IMAGE", " ", "must name an image"),
        *(("DEVICE_PORTS", odd, "5555-6554") for odd in ("9-1", "0-9", "1-65536", "99999-99999")),
        *(("DEVICE_PORTS", odd, "5555-6554") for odd in ("5555", "-1-9", "a-b", "1-999999")),
        ("DEVICE_BOOT_SECONDS", "0", "greater than 0"),
        *(("DEVICE_BOOT_SECONDS", odd, "at most 31536000") for odd in ("inf", "1e300", "31536001")),
        ("SAGA_SECOND_LOOKS_SECONDS", "[600, 1e300]", "at most 31536000"),
        ("SAGA_SECOND_LOOKS_SECONDS", "[NaN]", "at most 31536000"),
        *(("DEVICE_BIND_ADDRESS", odd, "an IP address") for odd in ("localhost", "127.0.0.1:80")),
        *(("DEVICE_ADB_ADDRESS", odd, "alone") for odd in ("127.0.0.1:5555", "tcp://host", " ")),
        ("SAGA_SECOND_LOOKS_SECONDS", "soon", "is not JSON"),
        ("SAGA_LEASE_SECONDS", "s3cret", "valid number"),
        *(
            ("FLOWER_URL", odd, "starts with http")
            for odd in ("flower:5555", "javascript:alert(1)")
        ),
        *(
            ("FLOWER_URL", odd, "starts with http")
            for odd in ("http://", "http://a b", "http://a?b")
        ),
        ("FLOWER_URL", "http://ann:s3cret@flower.test", "without a login"),
    ],
)
def test_a_setting_that_is_wrong_ends_the_process_and_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, given: str, told: str
) -> None:
    monkeypatch.setenv(name, given)

    with pytest.raises(SystemExit) as ended:
        settings._read()

    assert str(ended.value.code).startswith(f"saga: {name}: ")
    assert told in str(ended.value.code)
    assert "s3cret" not in str(ended.value.code)


def test_all_that_is_wrong_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DEVICE_PORTS", "SWEEP_SECONDS"):
        monkeypatch.setenv(name, "none")

    with pytest.raises(SystemExit) as ended:
        settings._read()

    lines = str(ended.value.code).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["DEVICE_PORTS", "SWEEP_SECONDS"]


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("DEVICE_SETUP", "[]"),
        ("DEVICE_SETUP", '["echo {{}} {width}x{height} {dpi}"]'),
        ("DEVICE_IMAGE", "redroid/redroid:{android}.0.0-latest"),
        ("DEVICE_PORTS", "6000-6000"),
        ("DEVICE_BIND_ADDRESS", "::"),
        ("DEVICE_ADB_ADDRESS", "fe80::1"),
        ("DEVICE_ADB_ADDRESS", "host.docker.internal"),
        ("DEVICE_BOOT_SECONDS", "31536000"),
        ("FLOWER_URL", ""),
        ("FLOWER_URL", "http://[::1]:5555"),
        ("FLOWER_URL", "https://ops.example.com/flower/"),
    ],
)
def test_what_can_be_is_taken(monkeypatch: pytest.MonkeyPatch, name: str, given: str) -> None:
    monkeypatch.setenv(name, given)

    assert settings._read().device_port_range
