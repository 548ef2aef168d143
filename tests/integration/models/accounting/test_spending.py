"""Every way of adding the ledger up comes to the same, to the nano-dollar; on both engines."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine, update

from models.accounting.daily_rollup import Rollup
from models.accounting.spending import Spending, Sum
from models.schema.daily_cost import DailyRow
from tests.support.ledgers.six_weeks import FIRST_DAY, billed, effective_costs

KEYS = ("day", "month", "endpoint", "model", "task", "batch", "outcome", "depth", "lane", "tag.team", "tag.nobody")


@pytest.fixture
def questions(engine: Engine) -> Spending:
    """Ask a ledger of six weeks."""
    billed(engine)
    return Spending(engine)


def _total(sums: dict[tuple[object, ...], Sum]) -> Sum:
    return sum(sums.values(), Sum())


def test_every_key_and_every_pair_adds_up_to_what_the_attempts_cost(engine: Engine, questions: Spending) -> None:
    cost, unknown = effective_costs(engine)
    assert (cost > 0, unknown) == (True, 5)
    totals = {(first, second): _total(questions.sums([first, second])) for first in KEYS for second in KEYS}
    assert {total.cost_usd for total in totals.values()} == {cost}
    assert {total.unknown_costs for total in totals.values()} == {unknown}
    assert len(set(totals.values())) == 1


def test_the_rollup_changes_no_answer_and_is_what_days_models_tasks_and_lanes_are_read_from(
    engine: Engine, questions: Spending
) -> None:
    before = {key: questions.sums([key]) for key in KEYS}
    assert len(Rollup(engine, settle_s=0).roll()) > 10
    assert {key: questions.sums([key]) for key in KEYS} == before
    with engine.begin() as connection:
        connection.execute(update(DailyRow).values(attempts=DailyRow.attempts + 1))
    changed = {key for key in KEYS if questions.sums([key]) != before[key]}
    assert changed == {"day", "month", "endpoint", "model", "task", "lane"}


def test_credits_are_never_rounded(engine: Engine, questions: Spending) -> None:
    cost, _ = effective_costs(engine)
    assert sum((line.credits for line in questions.sums(["batch", "outcome"]).values()), Decimal(0)) == cost * 100


def test_a_day_is_utc_and_both_of_its_ends_are_within(questions: Spending) -> None:
    first = FIRST_DAY.date()
    for keys in (["model"], ["outcome"], ["day"], ["day", "depth"]):
        whole = _total(questions.sums(keys))
        early = _total(questions.sums(keys, until=first))
        assert whole == early + _total(questions.sums(keys, since=first + timedelta(days=1)))
        assert 0 < early.attempts < whole.attempts
    days = [label for (label,) in questions.sums(["day"], since=first, until=first)]
    assert days == ["2026-10-05"]


def test_months_are_the_days_put_together(questions: Spending) -> None:
    months = questions.sums(["month"])
    assert sorted(months) == [("2026-10",), ("2026-11",)]
    assert months["2026-10",] == _total(questions.sums(["day"], until=date(2026, 10, 31)))


def test_what_has_no_task_no_tag_and_no_end_has_its_own_line(questions: Spending) -> None:
    assert {label for (label,) in questions.sums(["tag.team"])} == {"media", "=law", None}
    assert {label for (label,) in questions.sums(["tag.nobody"])} == {None}
    assert {label for (label,) in questions.sums(["task"])} == {"summarize", "translate", None}
    assert questions.sums(["outcome"])["open",].attempts == questions.sums(["outcome"])["open",].open == 3
    assert any(str(label).endswith(" Bridges 0") for (label,) in questions.sums(["batch"]))


def test_answered_failed_and_open_attempts_are_all_of_them(questions: Spending) -> None:
    for keys in (["model"], ["batch"]):
        total = _total(questions.sums(keys))
        assert (total.answered, total.open) == (30, 3)
        assert total.answered + total.failed + total.open == total.attempts


def test_a_ledger_without_attempts_has_no_line(engine: Engine) -> None:
    assert Spending(engine).sums(["model"]) == Spending(engine).sums(["outcome", "day"]) == {}
