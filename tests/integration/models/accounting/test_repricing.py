"""Past attempts are priced anew by the price of their own day; what was written stays; on both engines."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, event, insert, select, text, update

from models.accounting.price_list import PriceList
from models.accounting.repricing import Repriced, Repricing, Scope
from models.ledger.ledger import Ledger
from models.money.price_book import PriceBook
from models.money.pricing import Price, complete_rates, parse_costs
from models.money.usage import usage_from
from models.outcome import CostStatus, Outcome
from models.schema.attempt import Attempt
from models.schema.correction import Correction
from models.schema.daily_cost import RolledDay
from tests.support.ledgers.job_values import accepted, answered, broken, claimed, failing, opening, succeeded, unknown
from tests.support.threads_at_once import at_once

_SINCE = datetime(2026, 1, 1, tzinfo=UTC)
_ALL = Scope(since=_SINCE)
_OPUS = "claude-opus-4-7"
_BOOK = PriceBook({})  # 1,000 in and 200 out on opus-4-7 are 0.01 USD
_DEARER = PriceBook(parse_costs(f"{_OPUS}:10:50"))


@pytest.fixture
def repricing(engine: Engine) -> Repricing:
    """Price that database's attempts anew."""
    return Repricing(engine)


def _run(repricing: Repricing, prices: PriceBook, scope: Scope = _ALL, *, is_dry: bool = False) -> list[Repriced]:
    return [one for step in repricing.run(scope, prices, is_dry=is_dry) for one in step]


def _rows(engine: Engine, table: Any = Attempt) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(**row) for row in connection.execute(select(table.__table__).order_by(table.id)).mappings()]


def _using(**raw: Any) -> dict[str, Any]:
    return {"usage": usage_from({"input_tokens": 1_000, "output_tokens": 200, **raw})}


def _opened_at(engine: Engine, jobs: Sequence[str], times: Sequence[datetime]) -> None:
    """Have the only attempts of these jobs opened at these times."""
    with engine.begin() as connection:
        for job_id, at in zip(jobs, times, strict=True):
            connection.execute(update(Attempt).where(Attempt.job_id == job_id).values(opened_at=at))


def test_a_cost_that_changes_is_a_row_beside_the_attempt(repricing: Repricing, ledger: Ledger, engine: Engine) -> None:
    _, (job_id,) = accepted(ledger)
    answered(ledger, job_id)
    before = _rows(engine)
    (one,) = _run(repricing, _DEARER)
    assert (one.was_usd, one.cost_usd) == (Decimal("0.01"), Decimal("0.02"))
    (row,) = _rows(engine, Correction)
    assert (row["attempt_id"], row["number"]) == (before[0]["id"], 1)
    assert (row["was_nano_usd"], row["cost_nano_usd"]) == (Decimal("0.01"), Decimal("0.02"))
    assert (row["input_nano_usd"], row["output_nano_usd"]) == (Decimal("0.01"), Decimal("0.01"))
    assert (row["cache_read_nano_usd"], row["web_search_nano_usd"]) == (0, 0)
    assert row["price_source"] == "MODEL_COSTS, cache rates derived from input"
    assert row["made_at"].tzinfo is not None
    assert _rows(engine) == before


def test_a_second_run_writes_nothing_and_a_third_at_other_prices_counts_on(
    repricing: Repricing, ledger: Ledger, engine: Engine
) -> None:
    _, (job_id,) = accepted(ledger)
    answered(ledger, job_id)
    _run(repricing, _DEARER)
    (again,) = _run(repricing, _DEARER)
    assert (again.was_usd, again.change) == (Decimal("0.02"), None)
    for _ in range(2):
        _run(repricing, _BOOK)
    rows = _rows(engine, Correction)
    reported = [
        (row["number"], row["was_nano_usd"], row["cost_nano_usd"]) for row in sorted(rows, key=lambda r: r["number"])
    ]
    assert reported == [(1, Decimal("0.01"), Decimal("0.02")), (2, Decimal("0.02"), Decimal("0.01"))]


def test_a_cost_that_is_right_is_not_written_again(repricing: Repricing, ledger: Ledger, engine: Engine) -> None:
    _, (job_id,) = accepted(ledger)
    answered(ledger, job_id)
    (one,) = _run(repricing, _BOOK)
    assert (one.change, one.cost_usd) == (None, Decimal("0.01"))
    assert _rows(engine, Correction) == []


def test_a_cost_unknown_for_want_of_a_price_becomes_known_once_it_is_set(
    repricing: Repricing, ledger: Ledger, engine: Engine
) -> None:
    _, (job_id,) = accepted(ledger)
    no_price: dict[str, Any] = {"cost_usd": None, "cost_status": CostStatus.UNKNOWN, "price_source": None}
    answered(ledger, job_id, served_model="mine", **no_price)
    (one,) = _run(repricing, _BOOK)
    assert (one.was_usd, one.cost_usd) == (None, None)
    rates = complete_rates({"input": Decimal(1), "output": Decimal(5)})
    prices = PriceList(engine)
    prices.set([Price(model="mine", source="prices set", rates=rates, valid_from=_SINCE.date())])
    before = _rows(engine)
    (one,) = _run(repricing, PriceBook({}, prices.dated()))
    assert (one.was_usd, one.cost_usd, one.model) == (None, Decimal("0.002"), "mine")
    (row,) = _rows(engine, Correction)
    assert (row["was_nano_usd"], row["cost_nano_usd"], row["price_source"]) == (None, Decimal("0.002"), "prices set")
    assert _rows(engine) == before


def test_each_attempt_is_priced_by_its_own_day(repricing: Repricing, ledger: Ledger, engine: Engine) -> None:
    _, jobs = accepted(ledger, 2)
    for job_id in jobs:
        answered(ledger, job_id)
    change = datetime(2026, 11, 10, tzinfo=UTC)
    _opened_at(engine, jobs, [change - timedelta(microseconds=1), change])
    rates = complete_rates({"input": Decimal(10), "output": Decimal(50)})
    set_price = Price(model=_OPUS, source="prices set", rates=rates, valid_from=change.date())
    found = _run(repricing, PriceBook({}, {_OPUS: [set_price]}))
    assert [one.cost_usd for one in found] == [Decimal("0.01"), Decimal("0.02")]


def test_the_tier_the_region_and_the_passes_are_read_from_the_kept_usage(
    repricing: Repricing, ledger: Ledger, engine: Engine
) -> None:
    entry = {"input_tokens": 1_000, "output_tokens": 200}
    kept: list[dict[str, Any]] = [
        {"service_tier": "batch"},
        {"inference_geo": "us"},
        {"cache_read_input_tokens": 10_000},
        {"iterations": [{**entry, "model": "claude-haiku-4-5"}, entry]},
        {"server_tool_use": {"web_search_requests": 2}},
        {"speed": "fast"},
    ]
    _, jobs = accepted(ledger, len(kept))
    for job_id, raw in zip(jobs, kept, strict=True):
        answered(ledger, job_id, cost_usd=Decimal("0.5"), **_using(**raw))
    _opened_at(engine, jobs, [_SINCE + timedelta(seconds=second) for second in range(len(kept))])
    costs = [one.cost_usd for one in _run(repricing, _BOOK)]
    assert costs[:5] == [Decimal(text) for text in ("0.005", "0.011", "0.015", "0.012", "0.03")]
    assert costs[5] == Decimal("0.5")  # nobody has a price for fast replies: it stays what it was


def test_what_is_free_or_has_no_usage_or_is_open_stays_as_it_is(
    repricing: Repricing, ledger: Ledger, engine: Engine
) -> None:
    _, (refused, failed, lost, cut, still_open) = accepted(ledger, 5)
    refusal: dict[str, Any] = {"outcome": Outcome.REFUSED, "cost_usd": Decimal(0), "cost_status": CostStatus.FREE}
    answered(ledger, refused, **refusal, **_using(output_tokens=0))
    for job_id, end in ((failed, failing), (lost, unknown), (cut, broken)):
        claim, attempt = claimed(ledger, job_id), opening()
        ledger.open_attempt(claim, attempt)
        ledger.finish(claim, succeeded(message=None), end(attempt.id))
    ledger.open_attempt(claimed(ledger, still_open), opening())
    assert _run(repricing, _DEARER) == []
    assert _rows(engine, Correction) == []
    assert repricing.without_usage(_ALL) == 3  # the lost one, the one that shows a part, and the open one


def test_an_unreadable_usage_is_left_alone(repricing: Repricing, ledger: Ledger, engine: Engine) -> None:
    _, jobs = accepted(ledger, 3)
    for job_id in jobs:
        answered(ledger, job_id)
    with engine.begin() as connection:
        ids = connection.scalars(select(Attempt.id).order_by(Attempt.id)).all()
        for attempt_id, usage in zip(ids, ('{"input_tokens":-1}', '["a"]', "null"), strict=True):
            connection.execute(text("UPDATE attempts SET usage = :u WHERE id = :id"), {"u": usage, "id": attempt_id})
    assert [one.change for one in _run(repricing, _DEARER)] == [None] * 3


def test_only_the_days_and_the_model_that_were_named_are_priced(
    repricing: Repricing, ledger: Ledger, engine: Engine
) -> None:
    _, jobs = accepted(ledger, 4)
    for job_id, model in zip(jobs, (_OPUS, _OPUS, "claude-sonnet-4-6", _OPUS), strict=True):
        answered(ledger, job_id, served_model=model)
    day = datetime(2026, 11, 10, tzinfo=UTC)
    last = day + timedelta(hours=23, minutes=59, seconds=59, microseconds=999_999)
    _opened_at(engine, jobs, [day - timedelta(microseconds=1), day, last, day + timedelta(days=1)])
    scope = Scope(since=day, before=day + timedelta(days=1))
    assert [one.model for one in _run(repricing, _BOOK, scope)] == [_OPUS, "claude-sonnet-4-6"]
    only = Scope(since=day, before=day + timedelta(days=1), model="claude-sonnet-4-6")
    assert [one.model for one in _run(repricing, _BOOK, only)] == ["claude-sonnet-4-6"]


def test_a_dry_run_tells_the_same_and_writes_nothing(repricing: Repricing, ledger: Ledger, engine: Engine) -> None:
    _, (job_id,) = accepted(ledger)
    answered(ledger, job_id)
    assert _run(repricing, _DEARER, is_dry=True) == _run(repricing, _DEARER, is_dry=True)
    assert _rows(engine, Correction) == []
    assert [one.cost_usd for one in _run(repricing, _DEARER, is_dry=True)] == [Decimal("0.02")]


def test_a_day_whose_costs_changed_is_added_up_again_and_no_other(
    repricing: Repricing, ledger: Ledger, engine: Engine
) -> None:
    _, jobs = accepted(ledger, 2)
    answered(ledger, jobs[0])
    answered(ledger, jobs[1], cost_usd=Decimal("0.02"))
    days = [date(2026, 11, 10), date(2026, 11, 11)]
    _opened_at(engine, jobs, [datetime(day.year, day.month, day.day, 5, tzinfo=UTC) for day in days])
    with engine.begin() as connection:
        for day in days:
            connection.execute(insert(RolledDay).values(day=day, rolled_at=_SINCE, is_stale=False))
    _run(repricing, _DEARER)
    with engine.connect() as connection:
        stale = connection.scalars(select(RolledDay.day).where(RolledDay.is_stale)).all()
    assert stale == [days[0]]


def test_many_attempts_are_priced_in_steps_that_can_be_interrupted(
    repricing: Repricing, ledger: Ledger, engine: Engine
) -> None:
    _, jobs = accepted(ledger, 601)
    for job_id in jobs:
        answered(ledger, job_id)
    _opened_at(engine, jobs, [_SINCE] * 601)  # at one moment: a step that went by time alone would lose some
    first = next(iter(repricing.run(_ALL, _DEARER)))
    assert len(first) == len(_rows(engine, Correction)) == 300
    sizes = [len(step) for step in repricing.run(_ALL, _DEARER)]
    assert sizes == [300, 300, 1]
    rows = _rows(engine, Correction)
    assert len({row["attempt_id"] for row in rows}) == len(rows) == 601


def test_two_at_once_write_each_correction_once(ledger: Ledger, engine: Engine) -> None:
    _, jobs = accepted(ledger, 40)
    for job_id in jobs:
        answered(ledger, job_id)
    found = at_once(4, lambda _: _run(Repricing(engine), _DEARER))
    rows = _rows(engine, Correction)
    assert [row["number"] for row in rows] == [1] * 40
    assert sum(one.change is not None for run in found for one in run) == 40


def test_one_that_another_has_overtaken_reads_what_it_wrote(ledger: Ledger, engine: Engine) -> None:
    _, (job_id,) = accepted(ledger)
    answered(ledger, job_id)
    other, overtaken = Repricing(engine), list[str]()

    def overtake(*_arguments: object) -> None:
        if not overtaken:
            overtaken.append("once")
            _run(other, PriceBook(parse_costs(f"{_OPUS}:20:100")))

    engine_of_ours = engine.execution_options()
    event.listen(engine_of_ours, "before_cursor_execute", _before_the_correction(overtake))
    (one,) = _run(Repricing(engine_of_ours), _DEARER)
    assert (one.was_usd, one.cost_usd) == (Decimal("0.04"), Decimal("0.02"))
    assert sorted(row["number"] for row in _rows(engine, Correction)) == [1, 2]


def _before_the_correction(act: Any) -> Any:
    def look(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("INSERT INTO corrections"):
            act()

    return look
