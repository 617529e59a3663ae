"""A producer's input, as the command line takes it."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from saga.cli.errors import UsageError
from saga.cli.inputs import lines, read


class Asked(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    payment_id: str
    amount: Annotated[Decimal, Field(ge=Decimal("0.01"), le=Decimal(1_000_000), decimal_places=2)]
    reason: str


def fault(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        read(Asked, text)
    return str(caught.value)


def asked(amount: str) -> str:
    return f'{{"paymentId": "p", "amount": {amount}, "reason": "r"}}'


def test_money_keeps_every_digit_that_was_written() -> None:
    assert read(Asked, asked("0.10")).amount == Decimal("0.10")
    assert read(Asked, asked('"100.00"')).amount == Decimal(100)
    assert fault(asked("100.0000000000000001")) == "amount: must have at most 2 decimals"


@pytest.mark.parametrize(
    "amount", ["0", "-1", "1.001", "NaN", '"text"', "1e7", "null", "9" * 5_000]
)
def test_an_amount_that_cannot_be_is_named(amount: str) -> None:
    assert fault(asked(amount)).startswith("amount: ")


def test_every_wrong_field_is_named() -> None:
    assert fault('{"amount": 0, "reasn": "r"}') == (
        "paymentId: is missing; amount: must be at least 0.01; reason: is missing; "
        "reasn: is not known"
    )


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "[" * 100_000, "1" * 5_000])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    assert "JSON" in fault(text)


def test_blank_lines_count_but_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "inputs"
    file.write_text('{"a": 1}\n\n  \n{"b": 2}')

    assert list(lines(str(file))) == [(1, b'{"a": 1}\n'), (4, b'{"b": 2}')]


def test_a_line_that_is_not_in_utf_8_is_wrong_alone(tmp_path: Path) -> None:
    file = tmp_path / "inputs"
    file.write_bytes(asked("1").encode() + b'\n{"reason": "\xff"}\n' + asked("2").encode())

    (_, first), (_, broken), (number, last) = lines(str(file))

    assert [read(Asked, line).amount for line in (first, last)] == [Decimal(1), Decimal(2)]
    assert number == 3
    with pytest.raises(UsageError, match="not JSON"):
        read(Asked, broken)


def test_a_file_that_cannot_be_read_is_a_wrong_usage(tmp_path: Path) -> None:
    for file in (tmp_path / "missing", tmp_path):
        with pytest.raises(UsageError):
            list(lines(str(file)))
