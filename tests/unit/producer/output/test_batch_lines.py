"""What the commands print of a batch and of its jobs."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from models.job.answer import Answer
from models.job.progress import HalfPriceUse, ModelLine, Progress
from models.outcome import State
from producer.output.batch_lines import (
    batch_table,
    half_price_lines,
    job_json,
    job_line,
    job_table,
    over_budget_line,
    progress_json,
    progress_line,
    receipt,
)

HAIKU = "claude-haiku-4-5-20251001"
MADE = datetime(2026, 11, 23, 9, 5, tzinfo=UTC)


def progress(**changes: Any) -> Progress:
    fields: dict[str, Any] = {
        "batch_id": "0192",
        "name": "news",
        "created_at": MADE,
        "job_count": 4,
        "states": {"succeeded": 3, "failed": 1},
        "held": 0,
        "over_budget": 0,
        "attempts": 6,
        "cost_usd": Decimal("0.000113000"),
        "unknown_costs": 0,
    }
    return Progress(**{**fields, **changes})


def model_line(**changes: Any) -> ModelLine:
    fields: dict[str, Any] = {
        "model": "claude-opus-4-7",
        "fallback_depth": 0,
        "lane": "live",
        "attempts": 10,
        "answered": 7,
        "not_run": 0,
        "open": 0,
        "p50_ms": 2140,
        "cost_usd": Decimal("0.426875000"),
        "unknown_costs": 0,
    }
    return ModelLine(**{**fields, **changes})


def answer(**changes: Any) -> Answer:
    return Answer(**{"id": "doc-1", "job_id": "0193", "state": State.QUEUED, **changes})


def test_a_batch_is_one_line_of_id_name_age_states_and_money() -> None:
    assert progress_line(progress()) == "0192  news  2026-11-23 09:05  3 succeeded, 1 failed of 4  $0.000113"


def test_held_jobs_are_told_beside_the_states() -> None:
    reported = progress_line(progress(states={"succeeded": 3, "waiting": 1}, held=1))
    assert "1 waiting, 3 succeeded (1 held until a person decides) of 4" in reported


def test_a_name_or_an_id_forges_no_line() -> None:
    assert "\n" not in progress_line(progress(name="news\n0193  other  succeeded"))
    assert "\n" not in job_line(answer(id="doc-1\n0194  doc-2  succeeded", error="one\ntwo"))


def test_what_has_no_name_and_what_costs_nothing_known_is_told_so() -> None:
    reported = progress_line(progress(name=None, cost_usd=Decimal(0), unknown_costs=2))
    assert reported == "0192  2026-11-23 09:05  3 succeeded, 1 failed of 4  $0.00 + 2 unknown"


def test_a_batch_as_json_counts_every_state_and_has_its_money_as_text() -> None:
    assert json.loads(progress_json(progress())) == {
        "batch": "0192",
        "name": "news",
        "created_at": "2026-11-23T09:05:00+00:00",
        "jobs": 4,
        "queued": 0,
        "running": 0,
        "waiting": 0,
        "succeeded": 3,
        "failed": 1,
        "cancelled": 0,
        "held": 0,
        "over_budget": 0,
        "half_price": 0,
        "attempts": 6,
        "cost_usd": "0.000113000",
        "unknown_costs": 0,
        "max_cost_usd": None,
    }


def test_a_batch_with_a_cap_tells_it_beside_what_it_cost() -> None:
    capped = progress(states={"succeeded": 3, "failed": 1}, over_budget=1, cap_usd=Decimal("0.5"))
    assert progress_line(capped).endswith("3 succeeded, 1 failed (1 over budget) of 4, cap $0.50  $0.000113")
    assert json.loads(progress_json(capped))["max_cost_usd"] == "0.5"


def test_what_a_cap_stopped_is_told_with_how_to_go_on() -> None:
    capped = progress(over_budget=7, cap_usd=Decimal("0.5"), reserved_usd=Decimal("0.4"))
    assert over_budget_line(capped) == (
        "7 jobs are over budget ($0.000113 of $0.50 are spent, $0.40 more may be): "
        "stepdown retry 0192 --failed --max-cost USD goes on"
    )
    assert "a cap of the day, a task or a tag" in over_budget_line(progress(over_budget=1))


def test_the_receipts_columns_align_from_the_head_to_the_sum() -> None:
    lines = [
        model_line(),
        model_line(model="claude-sonnet-4-6", fallback_depth=1, attempts=1204, answered=1204, p50_ms=None),
        model_line(model=HAIKU, fallback_depth=12, answered=0, p50_ms=81, cost_usd=Decimal("0.000000001")),
    ]
    head, opus, sonnet, haiku, total = receipt(lines, {})
    for line in (opus, sonnet, haiku, total):
        assert len(line) == len(head)
    ends = {word: head.index(word) + len(word) for word in ("depth", "attempts", "ok", "failed", "p50", "cost")}
    cells = [[line[:end].split()[-1] for end in ends.values()] for line in (opus, sonnet, haiku)]
    assert cells == [
        ["0", "10", "7", "3", "s", "$0.426875"],
        ["1", "1204", "1204", "0", "-", "$0.426875"],
        ["12", "10", "0", "10", "ms", "$0.000000001"],
    ]
    assert total.split() == ["total", "1224", "1211", "13", "$0.853750001"]


def test_the_receipt_keeps_lanes_apart_and_items_that_never_ran_are_no_failures() -> None:
    lines = [model_line(lane="half_price", not_run=2, open=1, p50_ms=90_000), model_line(p50_ms=81)]
    head, half_price, live, total, under_way = receipt(lines, {})
    assert head.split() == ["model", "depth", "attempts", "ok", "failed", "not", "run", "p50", "cost"]
    assert half_price.split()[:8] == ["opus-4-7", "at", "half", "price", "0", "10", "7", "0"]
    assert half_price.split()[8:] == ["2", "90.0", "s", "$0.426875"]
    assert live.split() == ["opus-4-7", "0", "10", "7", "3", "0", "81", "ms", "$0.426875"]
    assert total.split() == ["total", "20", "14", "3", "2", "$0.85375"]
    assert under_way == "1 item of a message batch has not ended: the cost is not known yet"


def test_the_receipts_sum_tells_how_many_costs_are_unknown() -> None:
    total = [*receipt([model_line(unknown_costs=2), model_line(unknown_costs=3)], {})][-1]
    assert total.endswith("$0.85375 + 5 unknown")


def test_the_receipt_tells_how_deep_the_answers_came_from() -> None:
    reported = [*receipt([model_line()], {0: 161, 1: 51, 10: 0})][-5:]
    assert reported == [
        "fallback depth  jobs  share",
        "             0   161  75.9%  ███████████████████████·······",
        "             1    51  24.1%  ███████·······················",
        "            10     0   0.0%  ······························",
        "fallback depth: how many models were given up before the one that answered",
    ]


def test_the_receipt_of_nothing_is_a_sum_of_nothing() -> None:
    assert [*receipt([], {})][-1].split() == ["total", "0", "0", "0", "$0.00"]


def test_a_receipt_without_any_message_batch_says_so() -> None:
    none: dict[str, Any] = dict.fromkeys(
        ("moved_late", "moved_errored", "moved_expired", "moved_lost", "overlapped"), 0
    )
    usd: dict[str, Any] = dict.fromkeys(("cost_usd", "saved_usd", "overlapped_usd"), Decimal(0))
    (line,) = half_price_lines(HalfPriceUse(attempts=0, open=0, unknown_costs=0, never_packed=3, **none, **usd))
    assert (
        line == "half price: 3 jobs went live without a message batch: too little time, or no message batch takes these"
    )


def test_a_job_is_one_line() -> None:
    done = answer(state=State.SUCCEEDED, model=HAIKU, fallback_depth=1, cost_usd=Decimal("0.020000000"))
    assert job_line(done) == "0193  doc-1  succeeded  haiku-4-5 (fallback depth 1)  $0.02"
    assert job_line(answer()) == "0193  doc-1  queued  -  unknown"


def test_batches_and_jobs_are_tables_with_a_header_of_the_same_columns() -> None:
    done = answer(state=State.SUCCEEDED, model=HAIKU, fallback_depth=1, cost_usd=Decimal("0.020000000"))
    assert [*batch_table([progress()])] == [
        "batch  name  created (UTC)          cost  state",
        "0192   news  2026-11-23 09:05  $0.000113  3 succeeded, 1 failed of 4",
    ]
    assert [*job_table([done, answer(error="no\n0194  doc-2")])] == [
        "job   prompt  state      model                            cost  error",
        "0193  doc-1   succeeded  haiku-4-5 (fallback depth 1)    $0.02",
        r"0193  doc-1   queued     -                             unknown  no\n0194  doc-2",
    ]
    assert [*batch_table([])] == [*job_table([])] == []


def test_a_failed_job_tells_its_error_without_steering_the_terminal() -> None:
    message = job_line(answer(id="\x1b[2J", state=State.FAILED, cost_usd=Decimal(0), error="bad_request: \x1b]0;x\x07"))
    assert message == r"0193  \x1b[2J  failed  -  $0.00  bad_request: \x1b]0;x\x07"


@pytest.mark.parametrize(("cost", "written"), [(None, None), (Decimal("0.000000001"), "0.000000001")])
def test_a_job_as_json_has_its_money_as_text_and_neither_prompt_nor_answer(
    cost: Decimal | None, written: str | None
) -> None:
    done = answer(
        state=State.SUCCEEDED,
        outcome="answered",
        model=HAIKU,
        fallback_depth=1,
        cost_usd=cost,
        message={"content": [{"type": "text", "text": "Because."}]},
        columns={"title": "On bridges"},
    )
    assert json.loads(job_json(done)) == {
        "job": "0193",
        "id": "doc-1",
        "state": "succeeded",
        "outcome": "answered",
        "model": HAIKU,
        "fallback_depth": 1,
        "cost_usd": written,
        "error": None,
    }


def test_an_attempt_that_has_not_ended_is_told_apart_from_a_failed_one() -> None:
    reported = list(receipt([model_line(attempts=10, answered=7, open=2, unknown_costs=2)], {}))
    assert reported[1].split()[2:5] == ["10", "7", "1"]
    assert reported[-1].startswith("2 attempts have not ended, or their worker was killed")


def test_half_price_tells_the_saving_then_the_jobs_that_went_live() -> None:
    usd: dict[str, Any] = {"cost_usd": Decimal("1.20"), "saved_usd": Decimal("1.15"), "overlapped_usd": Decimal(0)}
    moved: dict[str, Any] = {"moved_late": 0, "moved_errored": 0, "moved_expired": 0, "moved_lost": 0, "overlapped": 0}
    use = HalfPriceUse(attempts=1200, open=40, unknown_costs=42, **usd, **moved)
    first = "half price: 1,200 calls bought for $1.20 + 2 unknown, $1.15 saved against live calls"
    assert [*half_price_lines(use)] == [first]
    assert [*half_price_lines(replace(use, attempts=0, open=42))] == []
    more = replace(use, moved_late=3, moved_expired=1, overlapped=2, overlapped_usd=Decimal("0.002"))
    assert [*half_price_lines(more)] == [
        first,
        "half price: moved to live calls: 3 late, 1 expired; 2 answers bought in both lanes, $0.002 for the second",
    ]
