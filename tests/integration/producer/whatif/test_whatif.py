"""`stepdown whatif`: recorded jobs replayed as they were and otherwise; what is printed and refused."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, delete, insert, update

from models.chain.replay_odds import Tallies
from models.money.price_book import PriceBook, context_window
from models.money.pricing import Price, Rates
from models.reports.job_history import Records, Scope
from models.schema.attempt import Attempt
from models.schema.correction import Correction
from models.schema.job import AnswerRow, Job
from producer.whatif.replayed import Replayed, Replayer
from producer.whatif.routes import Plan
from tests.support.ledgers.small_ledger import HAIKU, OPUS, SONNET, attempt_row, book, usd
from tests.support.sites.command_line import Stranger, stranger_in
from tests.support.sites.worker_site import Plant, running_plant

_CHAIN = (OPUS, SONNET, HAIKU)
_RATES = {"input": Decimal(1), "cache_read": Decimal(0), "cache_write_5m": Decimal(0), "cache_write_1h": Decimal(0)}
_PRICES = {
    model: Price(model=model, source="by hand", rates=Rates(output=Decimal(output), **_RATES))
    for model, output in ((OPUS, 25), (SONNET, 15), (HAIKU, 5), ("zeppelin", 1))
}


@pytest.fixture
def records(engine: Engine) -> Records:
    """Read a small ledger by hand."""
    book(engine)
    return Records(engine)


@pytest.fixture
def me(tmp_path: Path, engine: Engine, database_url: str) -> Stranger:
    """Work with a small ledger by hand, of three days in spring."""
    book(engine)
    return stranger_in(tmp_path, DATABASE_URL=database_url, MODEL_CHAIN=",".join(_CHAIN))


def _replayed(records: Records, scope: Scope | None = None, **changes: Any) -> Replayed:
    scope = scope or Scope()
    plan = {"models": _CHAIN, "climbs": frozenset(), "was": records.tallies(scope).chain(_CHAIN)} | changes
    replayer = Replayer(Plan(**plan), records.tallies(scope), PriceBook(_PRICES), context_window)
    return replayer.replay(records.jobs(scope))


def _asked(me: Stranger, *arguments: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(me.types("whatif", "--since", "2026-03-01", "--json", *arguments).out)
    return told


def test_jobs_that_have_ended_are_read_with_all_they_did(records: Records) -> None:
    jobs = {job.made[0].opened_at: job for job in records.jobs(Scope()) if job.made}
    fell = jobs[datetime(2026, 3, 30, 11, tzinfo=UTC)]
    assert [(one.model, one.outcome, one.cost_usd) for one in fell.made] == [
        (OPUS, "overloaded", 0),
        (SONNET, "answered", Decimal("0.006")),  # as corrected
    ]
    assert len(list(records.jobs(Scope()))) == 9  # neither open nor cancelled
    assert records.left_out(Scope()) == {"waiting": 1, "running": 1, "cancelled": 1}
    assert len(list(records.jobs(Scope(task="summarize")))) == len(list(records.jobs(Scope(batch_id="news")))) == 5
    assert len(list(records.jobs(Scope(since=date(2026, 3, 31), until=date(2026, 3, 31))))) == 3


def test_max_tokens_is_read_from_beside_the_prompt_whatever_the_prompt_says(engine: Engine, records: Records) -> None:
    text = 'said "max_tokens":9, and \x00 \ud800'
    params = {"messages": [{"role": "user", "content": text}], "max_tokens": 300, "stream": False}
    with engine.begin() as connection:
        connection.execute(update(Job).values(params=params))
        connection.execute(update(Job).where(Job.id == "purged").values(params={}))
    assert {job.max_tokens for job in records.jobs(Scope())} == {300, None}


def test_a_replay_of_the_very_chain_gives_what_was_to_the_nano_dollar(engine: Engine, records: Records) -> None:
    with engine.begin() as connection:
        for rung, model in enumerate(_CHAIN):
            connection.execute(update(Attempt).where(Attempt.requested_model == model).values(rung=rung))
        connection.execute(update(Attempt).where(Attempt.id == "a4").values(outcome="server_error"))
    found = _replayed(records)
    assert found.happened.jobs == 9
    assert found.happened.cost_usd == found.as_it_was.cost_usd > 0
    assert found.happened.unknown_costs == found.as_it_was.unknown_costs == 2
    assert (found.happened.answered, found.happened.attempts) == (found.as_it_was.answered, found.as_it_was.attempts)
    sums = [each for pair in found.tasks.values() for each in pair[:1]]
    assert sum(each.cost_usd for each in sums) == found.happened.cost_usd


def test_another_start_is_priced_by_the_tokens_that_were_used(engine: Engine, records: Records) -> None:
    _only(engine, "plain")
    found = _replayed(records, starts={"summarize": 2})
    assert found.happened.cost_usd == Decimal("0.01")
    assert found.would.cost_usd == (1000 * Decimal(1) + 200 * Decimal(5)) / 1_000_000
    assert found.notes.jobs == {("never_asked", HAIKU, OPUS, None): 1, ("length", HAIKU, "", "summarize"): 1}


def test_a_model_without_a_price_has_unknown_costs_and_no_sum_hides_them(engine: Engine, records: Records) -> None:
    _only(engine, "plain")
    found = _replayed(records, models=("airship",))
    assert found.would.per_answer_usd is None
    assert [found.would.cost_usd, found.would.unknown_costs] == [0, 1]


def test_shares_of_poor_replies_climb_with_their_chance(engine: Engine, records: Records) -> None:
    _only(engine, "plain")
    with engine.begin() as connection:
        for n in range(40):
            row = attempt_row(f"h{n}", "alone", None, "03-30 22:00:00", attempt_no=10 + n, requested_model=HAIKU)
            row |= {"task": "summarize", "outcome": "truncated" if n < 10 else "answered", "output_tokens": 200}
            row |= {"cost_nano_usd": usd(1)}
            connection.execute(insert(Attempt).values(**row))
        connection.execute(update(Attempt).where(Attempt.id == "a1").values(output_tokens=200))
    found = _replayed(records, starts={"summarize": 2}, climbs=frozenset({"truncated"}))
    haiku, sonnet = (1000 + 200 * 5) / Decimal(1_000_000), (1000 + 200 * 15) / Decimal(1_000_000)
    assert found.would.cost_usd == haiku + sonnet / 4
    assert found.would.depths == {0: Decimal("0.75"), 1: Decimal("0.25")}
    assert found.cost_usd.low < found.would.cost_usd < found.cost_usd.high


def test_the_bounds_of_a_job_are_taken_over_by_the_names_of_their_models(engine: Engine, records: Records) -> None:
    _only(engine, "plain")
    with engine.begin() as connection:
        connection.execute(update(Job).values(floor_rung=1))
    plain = next(records.jobs(Scope()))
    plan = Plan(models=(HAIKU, SONNET, OPUS), climbs=frozenset(), was=_CHAIN)
    assert plan.would(plain).span.floor == 1
    gone = Plan(models=(HAIKU, OPUS), climbs=frozenset(), was=_CHAIN).would(plain)
    assert (gone.span.floor, gone.gone) == (1, (("floor_gone", SONNET),))


def test_a_start_that_the_caller_chose_is_kept_where_the_chain_has_it(engine: Engine, records: Records) -> None:
    _only(engine, "plain")
    with engine.begin() as connection:
        connection.execute(update(Job).values(start_reason="asked", start_model=SONNET))
    chosen = next(records.jobs(Scope()))
    plan = Plan(models=_CHAIN, starts={"summarize": 2}, climbs=frozenset(), was=_CHAIN)
    assert plan.would(chosen).span.start == 1
    gone = Plan(models=(OPUS, HAIKU), starts={"summarize": 1}, climbs=frozenset(), was=_CHAIN).would(chosen)
    assert (gone.span.start, gone.gone) == (1, (("start_gone", SONNET),))


def test_no_answer_is_taken_for_longer_than_it_was_allowed_to_be(engine: Engine, records: Records) -> None:
    _only(engine, "plain")
    with engine.begin() as connection:
        for n in range(60):
            model, tokens = ((HAIKU, 400), (OPUS, 100))[n % 2]
            row = attempt_row(f"h{n}", "alone", None, "03-30 22:00:00", attempt_no=10 + n, requested_model=model)
            row |= {"task": "summarize", "output_tokens": tokens, "cost_nano_usd": usd(1)}
            connection.execute(insert(Attempt).values(**row))
        connection.execute(update(Job).values(params={"max_tokens": 500}))
    found = _replayed(records, starts={"summarize": 2})
    assert found.would.cost_usd == (1000 + 500 * Decimal(5)) / 1_000_000


def test_a_chain_in_force_is_read_from_the_attempts(records: Records) -> None:
    with_new = Tallies()
    with_new.rungs.update({(0, "old"): 5, (0, "new"): 9, (1, "b"): 1})
    assert with_new.chain(("x", "y", "z")) == ("new", "b", "z")
    assert with_new.chain(("x",)) == ("new", "b")
    assert Tallies().chain(("x", "y")) == ("x", "y")
    assert records.tallies(Scope()).chain(_CHAIN)[0] == OPUS


def test_what_happened_and_what_would_have_stand_side_by_side(me: Stranger) -> None:
    told = me.types("whatif", "--since", "2026-03-01", "--chain", f"{SONNET},{HAIKU}", "--starts", f"*:{HAIKU}")
    assert told.out.startswith(f"chain: {SONNET}, {HAIKU}; * starts with {HAIKU}\n")
    rows = {line.split("  ")[0]: line.split() for line in told.out.splitlines()}
    assert rows["jobs"][1:] == ["9", "9"]
    assert {"answered", "failed", "attempts", "cost", "cost an answer", "mean depth", "depth 0", "job, p95"} <= {*rows}
    assert "left out: 1 cancelled, 2 open jobs\n" in told.out
    assert "replayed as it was: $" in told.out


def test_json_holds_money_as_texts_and_every_assumption(me: Stranger) -> None:
    told = _asked(me, "--starts", f"summarize:{HAIKU}")
    assert told["chain"] == [*_CHAIN]
    assert told["starts"] == {"summarize": HAIKU}
    assert Decimal(told["happened"]["cost_usd"]) == sum(Decimal(each["happened"]["cost_usd"]) for each in told["tasks"])
    apart = Decimal(told["would"]["cost_usd"]) - Decimal(told["happened"]["cost_usd"])
    assert Decimal(told["difference_usd"]) == pytest.approx(apart, abs=Decimal("2e-9"))
    assert Decimal(told["would"]["low_usd"]) <= Decimal(told["would"]["cost_usd"]) <= Decimal(told["would"]["high_usd"])
    assert {batch["batch"] for batch in told["batches"]} == {"news", "odd"}
    assert all(each["said"] and each["jobs"] > 0 for each in told["assumptions"])


def test_one_batch_is_replayed_whenever_its_jobs_ended(me: Stranger) -> None:
    assert json.loads(me.types("whatif", "--batch", "News", "--json").out)["happened"]["jobs"] == 5
    assert _asked(me, "--task", "summarize")["happened"]["jobs"] == 5


def test_days_without_jobs_are_no_mistake(me: Stranger) -> None:
    assert "no job ended in this time: nothing to replay\n" in me.types("whatif").out
    assert json.loads(me.types("whatif", "--json").out)["would"]["cost_usd"] == "0.000000000"
    assert me.types("whatif", "--task", "nobody", "--since", "2026-03-01").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--chain", ""), 2, "whatif: --chain: '(empty)': name at least one model"),
        (("--chain", f"{OPUS},{OPUS}"), 2, f"whatif: --chain: '{OPUS},{OPUS}': {OPUS} is named twice"),
        (("--chain", "two words"), 2, "'two words' is not a model name"),
        (("--chain", OPUS, "--starts", f"summarize:{HAIKU}"), 2, f"{HAIKU} is not in the chain ({OPUS})"),
        (("--starts", "summarize"), 2, "whatif: --starts: 'summarize': 'summarize' should be task:model"),
        (("--since", "soon"), 2, "whatif: --since: 'soon' should be a day"),
        (("--since", "2026-04-02", "--until", "2026-04-01"), 2, "whatif: --until: 2026-04-01 is before 2026-04-02"),
        (("--batch", "nobody"), 2, "no batch is called or begins with 'nobody'"),
        (("--chain", "claude-zeppelin-1"), 5, "no price for claude-zeppelin-1"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_what_would_be_right(
    me: Stranger, arguments: tuple[str, ...], code: int, said: str
) -> None:
    assert said in me.types("whatif", *arguments, expect=code).err


def test_a_model_without_a_price_is_taken_where_that_is_allowed(me: Stranger) -> None:
    told = _asked(me, "--chain", "claude-zeppelin-1", "--allow-unpriced")
    assert Decimal(told["would"]["unknown_costs"]) > 0
    assert "no_price" in {each["because"] for each in told["assumptions"]}


def test_jobs_of_another_chain_and_jobs_that_never_called_are_replayed_too(me: Stranger, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(update(Job).where(Job.id == "cut").values(start_rung=5, floor_rung=9, ceiling_rung=4))
        connection.execute(update(Attempt).where(Attempt.id == "a7").values(rung=7))
        connection.execute(update(Attempt).where(Attempt.id == "a1").values(requested_model="claude-of-old"))
    told = _asked(me, "--starts", f"*:{HAIKU}")
    assert told["happened"]["jobs"] == told["would"]["jobs"] == 9
    assert Decimal(told["would"]["answered"]) + Decimal(told["would"]["failed"]) == 9
    assert "no_usage" in {each["because"] for each in told["assumptions"]}


def test_others_text_steers_no_terminal(me: Stranger, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(update(Job).values(task="\x1b[2J{x}"))
        connection.execute(update(Attempt).values(task="\x1b[2J{x}", requested_model="\x1b[2K{y}"))
    told = me.types("whatif", "--since", "2026-03-01")
    assert "\x1b" not in told.out + told.err
    assert "\\x1b[2J{x}" in told.out


@pytest.fixture(params=["sqlite", "postgres"])
def plant(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Plant]:
    """Run a worker whose primary fails one call of five."""
    with running_plant(request, tmp_path, TASK_STARTS=f"summarize:{OPUS}") as running:
        running.simulator.set_script("[[rules]]\nmodel = 'opus'\nshare = 0.2\nanswer = 529")
        yield running


def test_what_a_worker_did_is_replayed_closely_and_a_cheap_start_is_cheaper(plant: Plant, tmp_path: Path) -> None:
    batch = plant.submit(*[f"Summarize: {n} bridges were closed in spring." for n in range(200)], task="summarize")
    plant.finished(batch, within_s=120)
    me = stranger_in(tmp_path, **{name: plant.variables[name] for name in ("DATABASE_URL", "REDIS_URL", "MODEL_CHAIN")})
    same = json.loads(me.types("whatif", "--starts", f"summarize:{OPUS}", "--json").out)
    recorded = Decimal(same["happened"]["cost_usd"])
    assert abs(Decimal(same["would"]["cost_usd"]) / recorded - 1) < Decimal("0.001")
    assert abs(Decimal(same["replayed_by_averages_usd"]) / recorded - 1) < Decimal("0.1")
    assert Decimal(same["happened"]["depths"]["1"]) > 10
    assert [same["would"][name] for name in ("depths", "attempts")] == [
        same["happened"][name] for name in ("depths", "attempts")
    ]
    cheap = json.loads(me.types("whatif", "--starts", "summarize:claude-haiku-4-5-20251001", "--json").out)
    assert Decimal(cheap["would"]["cost_usd"]) < recorded / 2
    assert Decimal(cheap["would"]["mean_depth"]) == 0


def _only(engine: Engine, job: str) -> None:
    """Leave one job with its attempts in the ledger."""
    with engine.begin() as connection:
        connection.execute(delete(AnswerRow).where(AnswerRow.job_id != job))
        connection.execute(delete(Correction))
        connection.execute(delete(Attempt).where(Attempt.job_id != job))
        connection.execute(delete(Job).where(Job.id.not_in([job, "alone"])))
        connection.execute(update(Job).where(Job.id == "alone").values(state="cancelled"))
