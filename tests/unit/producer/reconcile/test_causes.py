"""What the ledger and the provider's report have apart is named for what it is, to the nano-dollar."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from models.accounting.expected_bill import Bill, Unsure
from producer.reconcile.causes import Because, Cause, Drift, compare
from producer.reconcile.provider_report import Billed, Charge

_DAY = date(2026, 11, 24)
_NEXT = _DAY + timedelta(days=1)
_OPUS = "claude-opus-4-7"
_ENDED = datetime(2026, 11, 24, 12, tzinfo=UTC)


def _bill(count: int = 1000, *, attempts: int = 1, rate: str = "0.000005", **changes: Any) -> Bill:
    fields: dict[str, Any] = {
        "day": _DAY,
        "model": _OPUS,
        "attempts": attempts,
        "rounded": attempts,
        "counts": {"input": count},
        "usd": {"input": count * Decimal(rate)},
        "last_at": _ENDED,
    }
    return Bill(**(fields | changes))


def _billed(count: int = 1000, *, requests: int = 1, rate: str = "0.000005", **changes: Any) -> Billed:
    billed, day = Billed(refreshed_at=_ENDED + timedelta(days=2)), changes.pop("day", _DAY)
    tier = changes.pop("tier", "standard")
    usd = changes.pop("usd", count * Decimal(rate))
    billed.charges[day, changes.pop("model", _OPUS), tier, changes.pop("kind", "input")] = Charge(
        count=count, usd=usd, list_usd=changes.pop("list_usd", usd), unit_usd=changes.pop("unit_usd", Decimal(0))
    )
    billed.requests[day, _OPUS, tier] = requests
    assert not changes
    return billed


def _causes(drift: Drift) -> dict[str, tuple[Decimal, int | None]]:
    assert sum((cause.usd for cause in drift.causes), Decimal(0)) == drift.usd  # nothing is left without a name
    return {cause.because: (cause.usd, cause.attempts) for cause in drift.causes}


def test_the_same_on_both_sides_is_no_drift() -> None:
    drift = compare([_bill()], _billed())
    assert (drift.is_drift, drift.usd, len(drift.causes)) == (False, Decimal(0), 0)


@pytest.mark.parametrize("name", [_OPUS, f"{_OPUS}-20260416"])
def test_a_model_is_the_same_with_and_without_its_date(name: str) -> None:
    assert not compare([_bill()], _billed(model=name)).is_drift
    both = [_bill(400), _bill(600, model=f"{_OPUS}-20260416")]
    assert not compare(both, _billed(requests=2)).is_drift


def test_half_price_is_compared_apart_from_live_calls() -> None:
    both = [_bill(), _bill(400, rate="0.0000025", tier="batch")]
    live = _billed(1400, requests=2)
    assert _causes(compare(both, live)) == {"not billed": (Decimal("-0.001"), 1), "others": (Decimal("0.002"), 1)}
    split = _billed(400, rate="0.0000025", tier="batch")
    split.charges |= _billed().charges
    split.requests |= _billed().requests
    drift = compare(both, split)
    assert not drift.is_drift
    assert {(line.tier, line.ledger_usd) for line in drift.lines} == {
        ("standard", Decimal("0.005")),
        ("batch", Decimal("0.001")),
    }


def test_rounding_is_a_nano_dollar_an_attempt_and_half_of_the_reports_last_digit() -> None:
    nano = Decimal("0.000000001")
    within = compare([_bill(attempts=3)], _billed(usd=Decimal("0.005") + 3 * nano, requests=3))
    assert (within.is_drift, _causes(within)) == (False, {"rounding": (3 * nano, None)})
    assert compare([_bill(attempts=3)], _billed(usd=Decimal("0.005") + 4 * nano, requests=3)).is_drift
    coarse = _billed(usd=Decimal("0.0051"), unit_usd=Decimal("0.0002"))
    assert not compare([_bill()], coarse).is_drift


def test_what_the_provider_has_more_is_first_the_lost_calls_then_the_open_ones_then_others() -> None:
    unsure: dict[str, Any] = {
        "unknown": Unsure(attempts=2, most_usd=Decimal("0.001")),
        "open": Unsure(attempts=1, most_usd=Decimal("0.0005")),
    }
    drift = compare([_bill(**unsure)], _billed(2000, requests=7))
    assert _causes(drift) == {
        "unknown": (Decimal("0.001"), 2),
        "open": (Decimal("0.0005"), 1),
        "others": (Decimal("0.0035"), 3),
    }
    assert [cause.most_usd for cause in drift.causes] == [Decimal("0.001"), Decimal("0.0005"), None]


def test_a_lost_call_without_a_bound_may_explain_all_of_it() -> None:
    drift = compare([_bill(unknown=Unsure(attempts=1, unbounded=1))], _billed(2000, requests=2))
    assert drift.causes == (Cause(because=Because.UNKNOWN, usd=Decimal("0.005"), attempts=1),)


def test_more_requests_than_lost_calls_are_others_even_where_the_money_would_fit() -> None:
    drift = compare([_bill(unknown=Unsure(attempts=1, most_usd=Decimal(9)))], _billed(2000, requests=4))
    assert _causes(drift) == {"unknown": (Decimal("0.005"), 1), "others": (Decimal(0), 2)}


def test_a_lost_call_that_was_not_billed_is_counted_and_no_cause() -> None:
    drift = compare([_bill(unknown=Unsure(attempts=2), open=Unsure(attempts=1))], _billed())
    assert (drift.is_drift, drift.causes, drift.unsure.attempts) == (False, (), 3)


def test_others_are_seen_on_days_and_models_that_the_ledger_has_nothing_of() -> None:
    assert _causes(compare([], _billed())) == {"others": (Decimal("0.005"), 1)}
    code = _billed(0, kind="code_execution", usd=Decimal("0.05"), model="(no model)")
    assert _causes(compare([_bill(0, attempts=0)], code))["others"][0] == Decimal("0.05")


def test_what_the_ledger_has_more_is_behind_or_not_billed() -> None:
    billed = _billed(400)
    assert _causes(compare([_bill(attempts=3)], billed)) == {"not billed": (Decimal("-0.003"), 2)}
    billed.refreshed_at = _ENDED - timedelta(seconds=1)
    assert _causes(compare([_bill(attempts=3)], billed)) == {"behind": (Decimal("-0.003"), 2)}


def test_prices_and_quantities_are_told_apart() -> None:
    drift = compare([_bill(rate="0.000004")], _billed(1500, requests=2))
    assert _causes(drift) == {"prices": (Decimal("0.001"), None), "others": (Decimal("0.0025"), 1)}


def test_a_discount_is_told_from_a_wrong_price() -> None:
    assert _causes(compare([_bill()], _billed(usd=Decimal("0.004"), list_usd=Decimal("0.005")))).keys() == {"discount"}
    assert _causes(compare([_bill()], _billed(usd=Decimal("0.004"), list_usd=Decimal("0.006")))).keys() == {"prices"}


def test_tokens_without_a_price_are_counted_by_attempts() -> None:
    drift = compare([_bill(attempts=5, usd={"input": Decimal("0.004")}, unpriced=2)], _billed(requests=5))
    assert _causes(drift) == {"unpriced": (Decimal("0.001"), 2)}


def test_a_call_over_midnight_is_no_others_and_not_missing() -> None:
    late = _bill(1000, attempts=3, late_attempts=1, late_counts={"input": 300}, late_usd={"input": Decimal("0.0015")})
    billed = _billed(700, requests=2)
    billed.charges[_NEXT, _OPUS, "standard", "input"] = Charge(
        count=300, usd=Decimal("0.0015"), list_usd=Decimal("0.0015")
    )
    billed.requests[_NEXT, _OPUS, "standard"] = 1
    drift = compare([late], billed)
    assert drift.is_drift
    assert {cause.because: (cause.usd, cause.attempts) for cause in drift.causes} == {
        "midnight": (Decimal("0.0015"), 1)
    }
    assert drift.usd == 0


def test_costs_without_parts_are_compared_as_one() -> None:
    whole = _bill(usd={}, unsplit_usd=Decimal("0.005"))
    assert not compare([whole], _billed()).is_drift
    assert _causes(compare([whole], _billed(usd=Decimal("0.006")))) == {"prices": (Decimal("0.001"), None)}
    assert _causes(compare([whole], _billed(2000, requests=2))) == {"others": (Decimal("0.005"), 1)}
