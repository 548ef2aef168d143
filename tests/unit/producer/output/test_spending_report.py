"""A report is put in an order that can be read, and its shares are of what is known."""

from decimal import Decimal

import pytest

from models.accounting.spending import Sum
from models.errors import InputError
from producer.output.spending_report import keys_of, report_of, report_table


def _cost(usd: str) -> Sum:
    return Sum(attempts=1, cost_usd=Decimal(usd))


def test_days_come_in_their_order_and_models_by_what_they_cost() -> None:
    days = {("2026-11-02",): _cost("1"), ("2026-11-01",): _cost("2"), (None,): _cost("9")}
    assert [labels for labels, _ in report_of(["day"], days).lines] == [("2026-11-01",), ("2026-11-02",), (None,)]
    models = {("a",): _cost("1"), ("b",): _cost("2"), ("c",): _cost("1")}
    assert [labels for labels, _ in report_of(["model"], models).lines] == [("b",), ("a",), ("c",)]


def test_a_total_is_exact_whatever_is_added_to_it() -> None:
    sums = {(str(n),): _cost("0.000000001") for n in range(1_000)} | {("all",): _cost("9000000000")}
    assert report_of(["batch"], sums).total.cost_usd == Decimal("9000000000.000001000")


def test_where_nothing_is_known_to_cost_anything_no_share_is_drawn() -> None:
    lines = [*report_table(report_of(["model"], {("a",): Sum(attempts=2, unknown_costs=2)}))]
    assert "$0.00 + 2 unknown" in lines[1]
    assert lines[1].endswith(f"0.0%  {'·' * 20}")


def test_keys_are_one_or_two_that_are_known() -> None:
    assert keys_of("model") == ("model",)
    assert keys_of("tag.team, day") == ("tag.team", "day")
    for wrong in ("", "models", "day,", "day,day", "day,model,task", "tag."):
        with pytest.raises(InputError, match="--by"):
            keys_of(wrong)
