"""`stepdown chain show` and `stepdown chain suggest`, as a person types them."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from models.ledger.ledger import Ledger
from models.money.usage import Usage
from tests.support.ledgers.job_values import broken, claimed, closing, new_job, opening, succeeded
from tests.support.servers.fixtures import opened
from tests.support.sites.command_line import Stranger, stranger_in
from tests.support.sites.worker_site import HAIKU, OPUS


@pytest.fixture
def me(tmp_path: Path) -> Stranger:
    """Sit at a terminal."""
    return stranger_in(tmp_path, MODEL_CHAIN=f"{OPUS},{HAIKU}", TASK_STARTS=f"summarize:auto,map:{HAIKU}")


def _remember(me: Stranger, model: str, cost_usd: str, count: int) -> None:
    with opened(f"sqlite:///{me.folder}/.stepdown/ledger.db") as engine:
        ledger = Ledger(engine, worker="past")
        for _ in range(count):
            job = new_job(task="summarize")
            ledger.open_single(job, deadline_s=60)
            claim, first = claimed(ledger, job.id), opening(model=model)
            assert ledger.open_attempt(claim, first)
            assert ledger.finish(claim, succeeded(), closing(first.id, cost_usd=Decimal(cost_usd)))


def test_without_a_ledger_it_shows_the_chain_and_makes_none(me: Stranger) -> None:
    printed = me.types("chain", "show")
    head, opus, haiku, _, auto, fixed = printed.out.splitlines()
    assert head.split() == ["rung", "model", "input", "output", "window", "retires", "limit", "group"]
    assert opus.split() == ["0", OPUS, "5", "25", "1,000,000", "claude-opus-4"]
    assert haiku.split()[:5] == ["1", HAIKU, "1", "5", "200,000"]
    assert auto == "summarize starts on opus-4-7 (auto: nothing is learned yet); floor haiku-4-5, ceiling opus-4-7"
    assert fixed == "map starts on haiku-4-5; floor haiku-4-5, ceiling opus-4-7"
    assert not (me.folder / ".stepdown").exists()


def test_what_was_learned_is_told_with_its_figures_and_the_reason(me: Stranger) -> None:
    me.types("ls")
    _remember(me, OPUS, "0.01", 30)
    _remember(me, HAIKU, "0.001", 29)
    assert me.types("chain", "show").out.splitlines()[4:7] == [
        "summarize starts on opus-4-7 (learned); floor haiku-4-5, ceiling opus-4-7",
        "  opus-4-7: 30 of 30 accepted (88.6 to 100.0 %), $0.01 per accepted answer; picked",
        "  haiku-4-5: 29 of 29 accepted (88.3 to 100.0 %); not picked before 30 jobs have started there",
    ]
    _remember(me, HAIKU, "0.001", 1)
    lines = me.types("chain", "show").out.splitlines()
    assert lines[4].startswith("summarize starts on haiku-4-5 (learned); ")
    assert lines[6].endswith(" per accepted answer; picked")
    printed = json.loads(me.types("chain", "show", "--json").out)
    assert [rung["model"] for rung in printed["rungs"]] == [OPUS, HAIKU]
    summarize, fixed = printed["tasks"]
    assert (summarize["start"], summarize["is_auto"], fixed["weighed"]) == (HAIKU, True, [])
    assert [(one["reason"], one["judged"]) for one in summarize["weighed"]] == [("dearer", 30), ("picked", 30)]


def test_a_ledger_that_is_away_is_told_beside_it(me: Stranger) -> None:
    printed = Stranger(
        folder=me.folder, environment={**me.environment, "DATABASE_URL": "postgresql://x:y@127.0.0.1:1/none"}
    ).types("chain", "show")
    assert "nothing is learned from the ledger: ledger postgresql" in printed.err
    assert "nothing is learned yet" in printed.out


_LIMITS = [
    "both sides: the same tokens in the same lane, at today's rates; no setting is changed",
    "a lower rate is no proof of equal answers; a newer tokenizer may count a third more tokens for the same text",
    "even at: with so many more tokens nothing is saved",
]
_UNKNOWN = "no attempts in these days, so nobody has measured their answers or their tokenizer"


def _use(me: Stranger, model: str, usage: Usage | None, cost_usd: str) -> None:
    with opened(f"sqlite:///{me.folder}/.stepdown/ledger.db") as engine:
        ledger, job = Ledger(engine, worker="past"), new_job()
        ledger.open_single(job, deadline_s=60)
        claim, first = claimed(ledger, job.id), opening(model=model)
        assert ledger.open_attempt(claim, first)
        end = broken(first.id) if usage is None else closing(first.id, cost_usd=Decimal(cost_usd), usage=usage)
        assert ledger.finish(claim, succeeded(), end)


def test_without_a_ledger_list_rates_are_compared_for_a_mix_that_is_named(me: Stranger) -> None:
    printed = me.types("chain", "suggest")
    head, opus, haiku, mix, unknown, *limits = printed.out.splitlines()
    columns = ["rung", "model", "attempts", "cost", "instead", "would", "cost", "less", "even", "at", "retires"]
    assert head.split() == columns
    assert opus.split() == ["0", OPUS, "0", "claude-opus-5-5", "20", "%", "+25", "%"]
    assert haiku.split() == ["1", HAIKU, "0", "claude-haiku-5-5", "90", "%", "+900", "%"]
    assert mix.startswith("rungs 0, 1: no measured attempts since 20")
    assert mix.endswith(
        ", so list rates are compared: 4 input tokens to 1 output token, live, none from the cache, in short prompts"
    )
    assert unknown == f"claude-opus-5-5, claude-haiku-5-5: {_UNKNOWN}"
    assert (limits, printed.err) == (_LIMITS, "")
    assert not (me.folder / ".stepdown").exists()


def test_the_tokens_of_the_ledger_are_compared_and_its_gaps_are_named(me: Stranger) -> None:
    me.types("ls")
    half = Usage(input_tokens=200_000, output_tokens=100_000, service_tier="batch")
    _use(me, OPUS, Usage(input_tokens=1_000_000, output_tokens=0), "5")
    _use(me, OPUS, half, "1.75")
    _use(me, OPUS, None, "0")
    _use(me, OPUS, Usage(input_tokens=1, output_tokens=1, speed="fast"), "0.1")
    _use(me, "claude-haiku-5-5", Usage(input_tokens=1, output_tokens=1), "0.1")
    printed = me.types("chain", "suggest").out.splitlines()
    would = ["$5.40", "$1.35", "(20", "%)", "+25", "%"]
    assert printed[1].split() == ["0", OPUS, "2", "$6.75", "claude-opus-5-5", *would]
    assert printed[3].startswith("rung 1: no measured attempts since ")
    assert printed[4:] == [
        "rung 0: 1 attempt left out: nobody knows all their tokens",
        "rung 0: 1 attempt left out: nobody knows their rates",
        "claude-haiku-5-5: 1 attempt in these days; `stepdown whatif` compares its answers",
        f"claude-opus-5-5: {_UNKNOWN}",
        *_LIMITS,
    ]
    found = json.loads(me.types("chain", "suggest", "--json").out)
    opus, haiku = found["rungs"]
    assert (found["saved_usd"], found["chain"]) == ("1.350000000", ["claude-opus-5-5", "claude-haiku-5-5"])
    assert (opus["basis"], haiku["basis"], found["why_not"], found["ends_known"]) == ("ledger", "usual_mix", None, True)
    assert (opus["attempts"], opus["unmeasured_attempts"], opus["unrated_attempts"]) == ({"live": 2}, 1, 1)
    assert (opus["tokens"]["live"]["input_tokens"], opus["paid_usd"]) == (1_200_000, "6.750000000")
    best = opus["candidates"][0]
    assert (best["model"], best["saved_usd"], best["even_at"]) == (opus["suggestion"], "1.350000000", "0.2500")


def test_the_news_of_prices_check_is_one_line_and_no_fault(me: Stranger) -> None:
    news = "another model of the same family costs less on {}: see `stepdown chain suggest`"
    assert me.types("prices", "check").err.splitlines()[1] == news.format("2 of 2 rungs (by list rates)")
    me.types("ls")
    _use(me, OPUS, Usage(input_tokens=1_000_000, output_tokens=0), "5")
    line = news.format("2 of 2 rungs ($1.00 less in 30 days)")
    assert me.types("prices", "check").err.splitlines()[1] == line
    assert json.loads(me.types("prices", "check", "--json").out)["cheaper"] == line
    newest = Stranger(
        folder=me.folder, environment={**me.environment, "MODEL_CHAIN": "claude-opus-5-5", "TASK_STARTS": ""}
    )
    assert len(newest.types("prices", "check").err.splitlines()) == 1
    assert "nothing costs less" in newest.types("chain", "suggest").out


def test_rates_that_changed_an_end_an_endpoint_and_an_older_model_are_named(me: Stranger) -> None:
    me.write(
        "endpoints.toml", '[aws]\nkind = "compatible"\nbase_url = "https://aws.example"\nkey = "k"\nprice_factor = 2\n'
    )
    chain = "claude-sonnet-4-5,aws/claude-opus-4-7,claude-fable-5-2"
    terms = {"MODEL_CHAIN": chain, "TASK_STARTS": "", "ENDPOINTS_FILE": "endpoints.toml"}
    terms["MODEL_COSTS"] = "claude-fable-5-1:1:1"
    other = Stranger(folder=me.folder, environment={**me.environment, **terms})
    other.types("ls")
    _use(me, "aws/claude-opus-4-7", Usage(input_tokens=1_000_000, output_tokens=0), "7")
    sonnet, opus, fable, *notes = other.types("chain", "suggest").out.splitlines()[1:]
    assert sonnet.split()[3] == "claude-sonnet-5-5"
    assert sonnet.endswith("2026-11-30")
    assert opus.split()[2:8] == ["1", "$10.00", "aws/claude-opus-5-5", "$8.00", "$2.00", "(20"]
    assert fable.split()[3] == "claude-fable-5-1"
    assert "rung 1: the ledger has $7.00 for these attempts, at the rates of their days" in notes
    assert "aws/claude-opus-5-5: nobody knows here whether aws offers this model, and its id there" in notes
    assert "claude-fable-5-1 is older than claude-fable-5-2; nobody knows here whether it is still offered" in notes


def test_a_rung_without_a_price_and_a_ledger_that_is_away_end_with_their_codes(me: Stranger) -> None:
    mine = Stranger(folder=me.folder, environment={**me.environment, "MODEL_CHAIN": f"{OPUS},mine", "TASK_STARTS": ""})
    unpriced = mine.types("chain", "suggest", expect=5).out.splitlines()
    assert "rung 1: mine has no price: add it to MODEL_COSTS, or use `stepdown prices set`" in unpriced
    assert "rung 1: mine shows no family and version in its name, so no model is compared with it" in unpriced
    assert unpriced[1].split()[3] == "claude-opus-5-5"
    away = Stranger(
        folder=me.folder, environment={**me.environment, "DATABASE_URL": "postgresql://x:y@127.0.0.1:1/none"}
    )
    printed = away.types("chain", "suggest", expect=4)
    assert printed.err.startswith("by list rates alone, without the ledger: ledger postgresql")
    assert "claude-opus-5-5" in printed.out
    assert json.loads(away.types("chain", "suggest", "--json", expect=4).out)["why_not"].startswith("ledger postgresql")
