"""What makes a provider do a step once: the same key in every attempt, and in every release."""

import re
from uuid import UUID, uuid4

import pytest

from saga import IdempotencyKey

pytestmark = pytest.mark.unit

SAGA_ID = UUID("12345678-1234-5678-1234-567812345678")


def test_a_key_stays_what_it_is() -> None:
    key = IdempotencyKey.of(SAGA_ID, "payment_refund.call_provider_refund")

    assert key == "12345678123456781234567812345678-05686ebe-1"


def test_a_key_belongs_to_one_saga_one_step_and_one_generation() -> None:
    keys = {
        IdempotencyKey.of(SAGA_ID, "shop.pay"),
        IdempotencyKey.of(uuid4(), "shop.pay"),
        IdempotencyKey.of(SAGA_ID, "shop.ship"),
        IdempotencyKey.of(SAGA_ID, "shop.pay", generation=2),
    }

    assert len(keys) == 4


def test_providers_take_a_key() -> None:
    assert re.fullmatch(r"[0-9a-z-]{1,64}", IdempotencyKey.of(uuid4(), "a." + "long_name" * 30))


def test_a_key_tells_whose_it_is() -> None:
    key = IdempotencyKey.of(SAGA_ID, "shop.pay", generation=12)

    assert IdempotencyKey.saga_id(str(key)) == SAGA_ID


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PAY20261122",
        f"{SAGA_ID.hex}-05686ebe-0",
        f"{SAGA_ID.hex}-05686ebe",
        f"{SAGA_ID.hex}-05686ebe-1\n",
        f"{SAGA_ID}-05686ebe-1",
        f"x{SAGA_ID.hex}-05686ebe-1",
        f"{SAGA_ID.hex}-05686ebe-\u0661",
    ],
)
def test_other_text_is_no_key(text: str) -> None:
    assert IdempotencyKey.saga_id(text) is None
