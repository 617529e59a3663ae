import pytest

from gateways.payments.money import from_minor, to_minor


@pytest.mark.parametrize(
    ("text", "amount_minor"),
    [
        ("100.00", 10_000),
        ("100", 10_000),
        ("0.01", 1),
        ("0.1", 10),
        ("1000000.00", 100_000_000),
        ("999999999999.99", 99_999_999_999_999),
    ],
)
def test_a_plain_amount_becomes_whole_fen(text: str, amount_minor: int) -> None:
    assert to_minor(text) == amount_minor


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("1.001", "more than two decimals"),
        ("1.000", "more than two decimals"),
        ("-1", "is negative"),
        ("-0.01", "is negative"),
        ("NaN", "not a finite amount"),
        ("sNaN", "not a finite amount"),
        ("Infinity", "not a finite amount"),
        ("hundred", "is not an amount"),
        ("", "is not an amount"),
        ("1\x00", "is not an amount"),
        ("1_000", "not an amount in plain digits"),
        (" 1", "not an amount in plain digits"),
        ("1\n", "not an amount in plain digits"),
        ("\u0661", "not an amount in plain digits"),
        (".5", "not an amount in plain digits"),
        ("1e2", "not an amount in plain digits"),
        ("1e999999", "is too large"),
        ("1000000000000", "is too large"),
    ],
)
def test_what_is_no_amount_is_refused_with_its_fault(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        to_minor(text)


@pytest.mark.parametrize("amount_minor", [0, 1, 10, 99, 100, 12_345, 100_000_000])
def test_an_amount_survives_being_written_and_read(amount_minor: int) -> None:
    assert to_minor(from_minor(amount_minor)) == amount_minor


def test_an_amount_is_written_with_two_decimals() -> None:
    assert [from_minor(fen) for fen in (0, 5, 50, 10_000)] == ["0.00", "0.05", "0.50", "100.00"]


def test_a_negative_amount_is_never_written() -> None:
    with pytest.raises(ValueError, match="negative"):
        from_minor(-1)
