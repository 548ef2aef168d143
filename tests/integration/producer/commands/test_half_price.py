"""The lane of message batches in commands: its jobs, its saving, and the sums by lane; on both engines."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.support.ledgers.half_price_lane import BATCH, book_lane
from tests.support.sites.command_line import KEY, Stranger, stranger_in

_SAVED = "half price: 5 calls bought for $0.0034, $0.0027 saved against live calls\n"
_MOVED = (
    "half price: moved to live calls: 3 late, 1 errored, 1 expired, 1 lost; "
    "3 answers bought in both lanes, $0.0056 for the second\n"
)


@pytest.fixture
def me(engine: Engine, database_url: str, tmp_path: Path) -> Stranger:
    """Sit at a terminal with a batch at half price."""
    book_lane(engine)
    return stranger_in(tmp_path, ANTHROPIC_API_KEY=KEY, DATABASE_URL=database_url)


def test_status_shows_the_jobs_under_way_and_the_saving(me: Stranger) -> None:
    printed = me.types("status", BATCH)
    assert "(2 at half price)" in " ".join(printed.out.split())
    assert "1 is under way at half price in message batches of claude-opus-4-7, the oldest for 58 min" in printed.out
    assert (
        "1 waits for a place in a message batch of claude-opus-4-7, at half price; to live calls in 1 h" in printed.out
    )
    assert printed.out.endswith(_SAVED + _MOVED)
    read = json.loads(me.types("status", BATCH, "--json").out)
    assert read["half_price"] == 2
    assert {waits["reason"] for waits in read["waits"]} == {"half_price", "message_batch"}


def test_the_receipt_ends_with_the_lane(me: Stranger) -> None:
    assert _SAVED + _MOVED in me.types("show", BATCH).err


def test_a_report_adds_up_by_lane(me: Stranger) -> None:
    read = json.loads(me.types("ledger", "report", "--by", "lane", "--since", "2d", "--json").out)
    assert {line["lane"]: line["cost_nano_usd"] for line in read["lines"]} == {
        "half_price": 3_400_000,
        "live": 19_000_000,
    }


def test_a_submission_counts_the_jobs_that_have_no_time_for_the_lane(me: Stranger) -> None:
    me.write("two.jsonl", '{"prompt": "Why?"}\n{"prompt": "How?"}\n')
    needs = "live at the whole price: the deadline is too near for a message batch, which needs 2 h 20 min\n"
    assert f"2 jobs go {needs}" in me.types("submit", "two.jsonl", "--half-price", "--deadline", "30m").err
    assert "whole price" not in me.types("submit", "two.jsonl", "--half-price", "--deadline", "5h").err
