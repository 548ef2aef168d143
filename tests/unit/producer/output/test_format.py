"""Figures as people read them: nothing of the money is lost."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.output.format import bar, milliseconds, money

NANO_DOLLARS = st.integers(min_value=0, max_value=10**18)


@given(NANO_DOLLARS)
def test_money_never_loses_a_nano_dollar(nano: int) -> None:
    amount = (Decimal(nano) / 10**9).quantize(Decimal("1e-9"))
    assert Decimal(money(amount).removeprefix("$")) * 10**9 == nano


@given(NANO_DOLLARS)
def test_money_has_two_decimals_at_least_and_no_zero_it_could_leave_out(nano: int) -> None:
    decimals = money(Decimal(nano) / 10**9).partition(".")[2]
    assert len(decimals) >= 2
    assert len(decimals) == 2 or not decimals.endswith("0")


@given(NANO_DOLLARS, st.integers(min_value=1, max_value=10**6))
def test_what_the_sum_could_not_count_is_told_beside_it(nano: int, unknown: int) -> None:
    known = money(Decimal(nano) / 10**9)
    assert money(Decimal(nano) / 10**9, unknown=unknown) == f"{known} + {unknown} unknown"


@pytest.mark.parametrize(
    ("amount", "message"),
    [
        (None, "unknown"),
        (Decimal(0), "$0.00"),
        (Decimal("1E-9"), "$0.000000001"),
        (Decimal("1E+3"), "$1000.00"),
        (Decimal("12.300000000"), "$12.30"),
    ],
)
def test_money_is_never_written_with_an_exponent(amount: Decimal | None, message: str) -> None:
    assert money(amount) == message


@given(st.floats(allow_nan=False), st.integers(min_value=1, max_value=80))
def test_a_bar_is_as_wide_as_it_should_be_whatever_the_share(share: float, width: int) -> None:
    assert len(bar(share, width=width)) == width


def test_a_bar_fills_from_the_left() -> None:
    assert [bar(share, width=4) for share in (0, 0.25, 0.5, 1)] == ["····", "█···", "██··", "████"]


@pytest.mark.parametrize(
    ("latency_ms", "message"), [(None, "-"), (0, "0 ms"), (999, "999 ms"), (1000, "1.0 s"), (61_449, "61.4 s")]
)
def test_a_latency_is_told_in_its_own_unit(latency_ms: int | None, message: str) -> None:
    assert milliseconds(latency_ms) == message
