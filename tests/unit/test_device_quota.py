"""May a user have a device? The rules, in their order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from models import DeviceQuota, QuotaStatus, Specification, Taken
from tasks.device_quota import why_not
from workflows import DeviceInput

pytestmark = pytest.mark.unit

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
NOTHING = Taken(devices=0, reserved=0, cpu=0, memory_mb=0, storage_mb=0)
ASKED = Specification()


def quota(**others: Any) -> DeviceQuota:
    limits = {
        "device_cpu": 4,
        "device_memory_mb": 8192,
        "device_storage_mb": 20_480,
        "total_cpu": 8,
        "total_memory_mb": 16_384,
        "total_storage_mb": 40_960,
    }
    return DeviceQuota(
        **{"user_id": "u", "status": QuotaStatus.ACTIVE, "devices": 3} | limits | others
    )


def code(quota: DeviceQuota, taken: Taken = NOTHING, asked: Specification = ASKED) -> str | None:
    no = why_not(quota, taken, asked, now=NOW)
    return None if no is None else no.code


def test_who_has_room_may_have_the_device() -> None:
    assert code(quota()) is None


def test_the_last_device_and_the_last_of_each_size_may_be_had() -> None:
    last = Taken(devices=2, reserved=2, cpu=6, memory_mb=12_288, storage_mb=30_720)

    assert code(quota(), last) is None
    assert code(quota(device_cpu=2, device_memory_mb=4096, device_storage_mb=10_240)) is None


@pytest.mark.parametrize(
    ("limits", "taken", "expected"),
    [
        ({"status": QuotaStatus.SUSPENDED}, {}, "QUOTA_SUSPENDED"),
        ({"expires_at": NOW}, {}, "QUOTA_EXPIRED"),
        ({}, {"devices": 3}, "NO_DEVICE_LEFT"),
        ({"device_cpu": 1}, {}, "DEVICE_CPU"),
        ({"device_memory_mb": 4095}, {}, "DEVICE_MEMORY"),
        ({"device_storage_mb": 10_239}, {}, "DEVICE_STORAGE"),
        ({}, {"cpu": 7}, "TOTAL_CPU"),
        ({}, {"memory_mb": 12_289}, "TOTAL_MEMORY"),
        ({}, {"storage_mb": 30_721}, "TOTAL_STORAGE"),
    ],
)
def test_each_rule_refuses_one_too_many(
    limits: dict[str, Any], taken: dict[str, int], expected: str
) -> None:
    assert code(quota(**limits), replace(NOTHING, **taken)) == expected


def test_a_quota_lasts_until_the_moment_it_expires() -> None:
    assert code(quota(expires_at=NOW + timedelta(microseconds=1))) is None


def test_the_first_rule_that_is_broken_is_told() -> None:
    full = Taken(devices=3, reserved=0, cpu=8, memory_mb=16_384, storage_mb=40_960)
    broken: dict[str, Any] = {"device_cpu": 1, "expires_at": NOW, "status": QuotaStatus.SUSPENDED}

    told = []
    while broken:
        told.append(code(quota(**broken), full))
        broken.popitem()
    told += [code(quota(), full), code(quota(devices=4, device_cpu=1), full)]
    told.append(code(quota(devices=4), full))

    assert told == [
        *("QUOTA_SUSPENDED", "QUOTA_EXPIRED", "NO_DEVICE_LEFT", "NO_DEVICE_LEFT"),
        *("DEVICE_CPU", "TOTAL_CPU"),
    ]


BOUNDS = {
    "cpu": (1, 16),
    "memoryMb": (512, 32_768),
    "storageMb": (1024, 1_048_576),
    "width": (240, 4096),
    "height": (240, 4096),
    "dpi": (120, 640),
    "androidVersion": (11, 13),
}


def asked(**others: Any) -> DeviceInput:
    return DeviceInput.model_validate({"userId": "u", "name": "n", **others})


def test_what_is_not_said_is_as_redroid_has_it() -> None:
    assert asked().specification.model_dump() == {
        "cpu": 2,
        "memory_mb": 4096,
        "storage_mb": 10_240,
        "width": 1920,
        "height": 1080,
        "dpi": 240,
        "android_version": 11,
    }


@pytest.mark.parametrize("field", BOUNDS)
def test_a_size_may_be_at_its_bounds_and_not_beyond(field: str) -> None:
    least, most = BOUNDS[field]

    asked(**{field: least})
    asked(**{field: most})
    for wrong in (least - 1, most + 1, str(least), least + 0.5, True, None):
        with pytest.raises(ValidationError):
            asked(**{field: wrong})


@pytest.mark.parametrize("wrong", ["", " ", "x" * 101, "a\0b", "a\nb", None, 7])
def test_who_and_how_it_is_called_are_lines_of_text(wrong: object) -> None:
    for field in ("userId", "name"):
        with pytest.raises(ValidationError):
            asked(**{field: wrong})


def test_a_field_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValidationError):
        asked(ram=4096)
