"""Ratios come from the newest answers whose prompts are still there; on both engines."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from models.errors import LedgerError
from models.ledger.ledger import Ledger
from models.money.usage import Usage
from models.outcome import Outcome
from models.reports.token_history import CHARACTERS_A_TOKEN, Spread, TokenHistory, learn
from tests.support.ledgers.job_values import answered, claimed, closing, new_batch, new_job, opening, succeeded, unknown

OPUS = "claude-opus-4-7"


def _answer(ledger: Ledger, count: int, *, characters: int, tokens: int, share: int = 50, **changes: Any) -> None:
    content = changes.pop("content", "x" * characters)
    params = {"max_tokens": 100, "messages": [{"role": "user", "content": content}]}
    jobs = [new_job(seq, params=params, **changes) for seq in range(1, count + 1)]
    ledger.enqueue(new_batch(), jobs)
    for job in jobs:
        answered(ledger, job.id, usage=Usage(input_tokens=tokens - 1, cache_read_tokens=1, output_tokens=share))


def _spread(low: int, expected: int, high: int, *, attempts: int = 0) -> Spread:
    return Spread(low=Decimal(low), expected=Decimal(expected), high=Decimal(high), attempts=attempts)


def test_the_ratio_of_a_model_is_learned_from_its_answers(ledger: Ledger, database_url: str) -> None:
    _answer(ledger, 19, characters=400, tokens=100)
    assert learn(database_url).ratio(OPUS) == CHARACTERS_A_TOKEN
    _answer(ledger, 21, characters=200, tokens=100)
    ratio = learn(database_url).ratio(OPUS)
    assert ratio.expected == Decimal(19 * 400 + 21 * 200) / 4000
    assert (ratio.low, ratio.high, ratio.attempts) == (Decimal(2), Decimal(4), 40)
    assert learn(database_url).ratio("claude-sonnet-4-6") == CHARACTERS_A_TOKEN


def test_one_odd_answer_of_forty_does_not_widen_the_bounds(ledger: Ledger, database_url: str) -> None:
    _answer(ledger, 39, characters=400, tokens=100)
    _answer(ledger, 1, characters=4000, tokens=100)
    assert learn(database_url).ratio(OPUS).high == 4


def test_how_much_is_written_is_learned_by_task_and_its_bounds_from_that_task_only(
    ledger: Ledger, database_url: str
) -> None:
    _answer(ledger, 20, characters=400, tokens=100, share=20, task="summarize")
    _answer(ledger, 20, characters=400, tokens=100, share=60)
    learned = learn(database_url)
    own, other = learned.output_tokens("summarize", 1000), learned.output_tokens("translate", 1000)
    assert own == _spread(20, 20, 20, attempts=20)
    assert other == _spread(0, 40, 1000, attempts=40)


def test_a_length_is_of_tokens_and_what_was_cut_goes_on_as_far_as_it_may(ledger: Ledger, database_url: str) -> None:
    _answer(ledger, 10, characters=400, tokens=100, share=20, task="summarize")
    _answer(ledger, 10, characters=400, tokens=100, share=100, task="summarize")
    learned = learn(database_url)
    assert learned.output_tokens("summarize", 10) == _spread(10, 10, 10, attempts=20)
    assert learned.output_tokens("summarize", 50) == _spread(20, 35, 50, attempts=20)
    assert learned.output_tokens("summarize", 400) == _spread(20, 210, 400, attempts=20)


def test_nothing_is_learned_from_images_from_purged_prompts_or_from_lost_calls(
    ledger: Ledger, engine: Engine, database_url: str
) -> None:
    _answer(ledger, 30, characters=0, tokens=100, content=[{"type": "image", "source": {}}])
    assert learn(database_url).characters_a_token == {}
    with engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET purged_at = created_at, params = '{}'"))
    assert learn(database_url) == TokenHistory()
    jobs = [new_job(seq) for seq in range(1, 31)]
    ledger.enqueue(new_batch(), jobs)
    for job in jobs:
        claim, lost, last = claimed(ledger, job.id), opening(1), opening(2)
        ledger.open_attempt(claim, lost)
        ledger.close_attempt(claim, unknown(lost.id))
        ledger.open_attempt(claim, last)
        refused = closing(last.id, outcome=Outcome.REFUSED)
        ledger.finish(claim, succeeded(), refused)
    assert learn(database_url) == TokenHistory()


def test_the_newest_answers_count(ledger: Ledger, database_url: str) -> None:
    _answer(ledger, 50, characters=800, tokens=100)
    _answer(ledger, 1_000, characters=400, tokens=100)
    assert learn(database_url).ratio(OPUS).expected == 4


def test_an_empty_ledger_and_one_that_is_not_there_teach_nothing(database_url: str, tmp_path: Path) -> None:
    assert learn(database_url) == TokenHistory()
    absent = tmp_path / "nowhere" / "ledger.db"
    assert learn(f"sqlite:///{absent}") == TokenHistory()
    assert not absent.parent.exists()
    assert TokenHistory().output_tokens("summarize", 100) == _spread(0, 50, 100)


def test_a_database_without_the_tables_is_told(empty_database_url: str, tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    with pytest.raises(LedgerError, match="attempts"):
        learn(empty_database_url)
