"""The lane of message batches in SQL: both engines give the same figures, to the nano-dollar."""

from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import Engine, text

from models.reports.batch_history import BatchHistory
from models.schema.columns import now
from tests.support.ledgers.half_price_lane import BATCH, BOUGHT, book_lane, other_model
from tests.support.ledgers.small_ledger import HAIKU, OPUS, book

# ruff: noqa: S608 - all that is written into these questions is in this file

_MONEY = "cost_nano_usd, live_nano_usd, saved_nano_usd, overlapped_nano_usd"
_COUNTS = "jobs, attempts, open, unknown_costs, moved_late, moved_expired, moved_errored, moved_lost, overlapped"


def _rows(engine: Engine, question: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(question))]


def test_attempts_and_jobs_name_their_lane(engine: Engine) -> None:
    book(engine)
    book_lane(engine)
    attempts = "SELECT attempt_no, lane, message_batch_id FROM v_attempts WHERE job_id = 'night-too-late' ORDER BY 1"
    assert _rows(engine, attempts) == [(1, "half_price", BOUGHT), (2, "live", None)]
    jobs = "SELECT lane, MIN(COALESCE(batch_id, '')), COUNT(*) FROM v_jobs GROUP BY lane ORDER BY 1"
    assert _rows(engine, jobs) == [("half_price", BATCH, 10), ("live", "", 12)]


def test_a_batch_shows_its_purchases_its_saving_and_the_jobs_that_went_live(engine: Engine) -> None:
    book(engine)
    book_lane(engine)
    assert _rows(engine, f"SELECT batch_id, {_COUNTS} FROM v_half_price") == [(BATCH, 10, 5, 1, 1, 3, 1, 1, 1, 3)]
    assert _rows(engine, f"SELECT {_MONEY} FROM v_half_price") == [(3_400_000, 6_100_000, 2_700_000, 5_600_000)]
    ((cost, live, saved, overlapped),) = _rows(
        engine, "SELECT cost_usd, live_usd, saved_usd, overlapped_usd FROM v_half_price"
    )
    assert [round(float(usd), 9) for usd in (cost, live, saved, overlapped)] == [0.0034, 0.0061, 0.0027, 0.0056]


def test_jobs_that_went_live_without_an_item_are_counted(engine: Engine) -> None:
    book_lane(engine)
    counts = "SELECT never_packed, attempts, moved_late FROM v_half_price"
    assert _rows(engine, counts) == [(0, 5, 3)]
    with engine.begin() as connection:
        connection.execute(text("UPDATE attempts SET message_batch_id = NULL WHERE job_id = 'night-bought'"))
    assert _rows(engine, counts) == [(1, 4, 3)]


def test_a_correction_counts_and_a_search_without_a_part_is_bought_once(engine: Engine) -> None:
    book_lane(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE attempts SET web_searches = 1 WHERE id = 'night-bought-1'"))
        columns = "id, attempt_id, number, made_at, cost_nano_usd, price_source"
        connection.execute(
            text(
                f"INSERT INTO corrections ({columns})"
                " SELECT 'c', id, 1, opened_at, 12000000, 'by hand' FROM attempts WHERE id = 'night-bought-1'"
            )
        )
    # 12,000,000 in place of 1,000,000; of them 10,000,000 are the search.
    assert _rows(engine, f"SELECT {_MONEY} FROM v_half_price") == [(14_400_000, 18_300_000, 3_900_000, 5_600_000)]


def test_one_batch_is_looked_up_and_not_searched_for(engine: Engine) -> None:
    book(engine)
    is_sqlite = engine.dialect.name == "sqlite"
    with engine.begin() as connection:
        if not is_sqlite:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
        plan = connection.execute(text(f"{explain} SELECT * FROM v_half_price WHERE batch_id = 'news'"))
        steps = [str(row[-1]) for row in plan]
    # The few attempts that came late may look for their job's item in another way.
    searched = (
        "SCAN a",
        "SCAN j",
        "SCAN live",
        "Seq Scan on jobs",
        "Seq Scan on attempts a",
        "Seq Scan on attempts live",
    )
    assert [step for step in steps if any(word in step for word in searched)] == [], steps


def test_the_times_of_message_batches_are_shown_by_model(engine: Engine) -> None:
    start = book_lane(engine)
    other_model(engine, start, *(60 * minutes for minutes in range(1, 21)))
    found = "SELECT model, message_batches, ended, cancelled, p50_s, p95_s, max_s FROM v_batch_latency ORDER BY model"
    rows = [(*row[:4], *map(float, row[4:])) for row in _rows(engine, found)]
    # Of Opus, one took 10 minutes, one was cancelled after 30, and one is under way.
    assert rows == [(HAIKU, 20, 20, 0, 600.0, 1140.0, 1200.0), (OPUS, 3, 2, 1, 600.0, 1800.0, 1800.0)]


def test_a_job_chooses_its_lane_by_the_time_that_people_see(engine: Engine) -> None:
    start = book_lane(engine)
    other_model(engine, start, *(60 * minutes for minutes in range(1, 21)))
    takes_s = partial(BatchHistory(engine).takes_s, usual_s=7.0)
    assert [takes_s(HAIKU), takes_s(HAIKU, least=21)] == [1140.0, 7.0]
    assert [takes_s(OPUS, least=least) for least in (2, 3)] == [1800.0, 7.0]  # of three, one is under way


def test_message_batches_of_long_ago_and_those_that_never_left_do_not_count(engine: Engine) -> None:
    with engine.connect() as connection:
        at = now(connection)
    other_model(engine, at - timedelta(days=31), 60)
    assert _rows(engine, "SELECT * FROM v_batch_latency") == []
    book_lane(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE message_batches SET sent_at = NULL, ended_at = NULL"))
    assert _rows(engine, "SELECT * FROM v_batch_latency") == []


def test_half_price_is_a_sku_of_its_own(engine: Engine) -> None:
    book_lane(engine)
    charges = """SELECT "SkuId", "SkuPriceDetails", CAST(SUM("x_CostNanoUsd") AS BIGINT) FROM v_focus
        GROUP BY "SkuId", "SkuPriceDetails" ORDER BY 1"""
    batch = (f"{OPUS}, batch", '{"x_ServiceTier": "batch"}', 2_900_000)
    assert _rows(engine, charges) == [(OPUS, None, 19_500_000), batch]
    prices = _rows(engine, f"""SELECT DISTINCT "SkuPriceId" FROM v_focus WHERE "SkuId" = '{OPUS}, batch'""")
    assert prices == [(f"{OPUS}, batch / Requests / by hand",)]


def test_live_latency_leaves_message_batches_out(engine: Engine) -> None:
    book_lane(engine)
    assert _rows(engine, "SELECT SUM(attempts) FROM v_latency") == [(6,)]
