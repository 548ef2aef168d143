"""`stepdown chain show`, as a person types it."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from models.ledger.ledger import Ledger
from tests.support.ledgers.job_values import claimed, closing, new_job, opening, succeeded
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
