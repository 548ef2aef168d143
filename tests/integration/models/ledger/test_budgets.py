"""Spent and reserved never pass a cap, whoever opens, closes, crashes or comes late; on both engines."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, select, text

from models.job.strays import Rescue, Stray
from models.job.values import Cap, Closing, Opening, OverCap, SpooledReply
from models.ledger.job_actions import JobActions
from models.ledger.leases import Leases
from models.ledger.ledger import Ledger
from models.outcome import Outcome, State
from models.schema.budget import BudgetRow
from tests.support.ledgers.job_values import accepted, broken, claimed, closing, failing, opening, succeeded, unknown

_CENT = Decimal("0.01")
_DAY = Cap(scope="day", cap_usd=Decimal("0.105"))
_TREE = Cap(scope="tree:run-7", cap_usd=Decimal("0.105"))
_WIDE = Cap(scope="day", cap_usd=Decimal(1000))


@pytest.fixture
def budget(engine: Engine) -> Callable[[str], tuple[Decimal, ...]]:
    """Read what of a scope is spent, unknown and reserved."""

    def read(scope: str) -> tuple[Decimal, ...]:
        columns = (BudgetRow.spent_nano_usd, BudgetRow.unknown_nano_usd, BudgetRow.reserved_nano_usd)
        with engine.connect() as connection:
            return tuple(connection.execute(select(*columns).where(BudgetRow.scope == scope)).one())

    return read


def _capped(batch_id: str, *more: Cap, usd: Decimal = _CENT, **changes: Any) -> Opening:
    caps = (Cap(scope=f"batch:{batch_id}", cap_usd=None), *more)
    return opening(worst_case_usd=usd, caps=caps, **changes)


def test_a_claim_tells_whether_its_batch_has_a_cap_and_what_its_tags_are(ledger: Ledger) -> None:
    _, (free,) = accepted(ledger, tags={"team": "media"})
    _, (capped,) = accepted(ledger, max_cost_usd=_CENT)
    first, second = claimed(ledger, free), claimed(ledger, capped)
    assert (first.has_cap, first.tags) == (False, {"team": "media"})
    assert (second.has_cap, second.tags) == (True, {})


def test_a_call_that_fits_is_reserved_and_settled_with_what_it_cost(ledger: Ledger, budget: Any) -> None:
    batch_id, (job_id,) = accepted(ledger, max_cost_usd=2 * _CENT)
    claim, call = claimed(ledger, job_id), _capped(batch_id, _DAY)
    assert ledger.open_attempt(claim, call) is True
    assert budget(f"batch:{batch_id}") == budget("day") == (0, 0, _CENT)
    assert ledger.finish(claim, succeeded(), closing(call.id, cost_usd=Decimal("0.004")))
    assert budget(f"batch:{batch_id}") == budget("day") == (Decimal("0.004"), 0, 0)


def test_a_call_that_does_not_fit_writes_nothing_and_says_by_how_much(ledger: Ledger, budget: Any) -> None:
    batch_id, (first, second) = accepted(ledger, 2, max_cost_usd=Decimal("0.015"))
    claim, call = claimed(ledger, first), _capped(batch_id, _DAY)
    ledger.open_attempt(claim, call)
    other, refused = claimed(ledger, second), _capped(batch_id, _DAY)
    over = ledger.open_attempt(other, refused)
    assert over == OverCap(
        cap=Cap(scope=f"batch:{batch_id}", cap_usd=None),
        cap_usd=Decimal("0.015"),
        gone_usd=Decimal(0),
        reserved_usd=_CENT,
        needs_usd=_CENT,
    )
    assert isinstance(over, OverCap)
    assert over.may_fit_later
    ledger.finish(claim, succeeded(), closing(call.id, cost_usd=_CENT))
    later = ledger.open_attempt(other, refused)
    assert isinstance(later, OverCap)
    assert not later.may_fit_later
    assert (budget(f"batch:{batch_id}"), budget("day")) == ((_CENT, 0, 0), (_CENT, 0, 0))


def test_with_something_spent_what_is_gone_is_told_in_usd_and_calls_in_flight_may_make_room(ledger: Ledger) -> None:
    batch_id, (first, second, third) = accepted(ledger, 3, max_cost_usd=Decimal("0.025"))
    claim, call = claimed(ledger, first), _capped(batch_id)
    ledger.open_attempt(claim, call)
    ledger.finish(claim, succeeded(), closing(call.id, cost_usd=Decimal("0.004")))
    ledger.open_attempt(claimed(ledger, second), _capped(batch_id, usd=Decimal("0.015")))
    over = ledger.open_attempt(claimed(ledger, third), _capped(batch_id))
    assert isinstance(over, OverCap)
    assert (over.gone_usd, over.reserved_usd, over.may_fit_later) == (Decimal("0.004"), Decimal("0.015"), True)


def test_a_claim_tells_how_long_the_ledgers_day_lasts(ledger: Ledger) -> None:
    _, (job_id,) = accepted(ledger)
    before, left = datetime.now(UTC), timedelta(seconds=claimed(ledger, job_id).day_left_s)
    midnight = (before + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    assert abs(before + left - midnight) < timedelta(minutes=1) or left > timedelta(hours=23, minutes=59)


def test_what_the_second_cap_refuses_is_not_held_under_the_first(ledger: Ledger, budget: Any) -> None:
    batch_id, (job_id,) = accepted(ledger, max_cost_usd=Decimal(1))
    tight = Cap(scope="task:summarize", cap_usd=Decimal("0.001"))
    over = ledger.open_attempt(claimed(ledger, job_id), _capped(batch_id, _DAY, tight))
    assert isinstance(over, OverCap)
    assert (over.cap, over.may_fit_later) == (tight, False)
    assert budget(f"batch:{batch_id}") == (0, 0, 0)


def test_an_error_gives_the_whole_reservation_back(ledger: Ledger, budget: Any) -> None:
    batch_id, (job_id,) = accepted(ledger, max_cost_usd=_CENT)
    claim, first = claimed(ledger, job_id), _capped(batch_id)
    ledger.open_attempt(claim, first)
    ledger.close_attempt(claim, failing(first.id))
    assert budget(f"batch:{batch_id}") == (0, 0, 0)
    assert ledger.open_attempt(claim, _capped(batch_id, number=2)) is True


@pytest.mark.parametrize("end", [unknown, broken])
def test_a_call_of_unknown_cost_stays_spent_at_its_worst_case(
    ledger: Ledger, budget: Any, end: Callable[[str], Closing]
) -> None:
    batch_id, (job_id,) = accepted(ledger, max_cost_usd=Decimal("0.015"))
    claim, first = claimed(ledger, job_id), _capped(batch_id)
    ledger.open_attempt(claim, first)
    ledger.close_attempt(claim, end(first.id))
    assert budget(f"batch:{batch_id}") == (0, _CENT, 0)
    over = ledger.open_attempt(claim, _capped(batch_id, number=2))
    assert isinstance(over, OverCap)
    assert not over.may_fit_later


def test_a_least_cost_above_the_worst_case_counts_whole(ledger: Ledger, budget: Any) -> None:
    batch_id, (job_id,) = accepted(ledger, max_cost_usd=_CENT)
    claim, first = claimed(ledger, job_id), _capped(batch_id, usd=_CENT / 10)
    ledger.open_attempt(claim, first)
    ledger.close_attempt(claim, broken(first.id))  # its stream has shown 0.2 cents
    assert budget(f"batch:{batch_id}") == (0, _CENT / 5, 0)


def test_an_attempt_is_settled_once(ledger: Ledger, budget: Any) -> None:
    batch_id, (job_id,) = accepted(ledger, max_cost_usd=_CENT)
    claim, call = claimed(ledger, job_id), _capped(batch_id)
    ledger.open_attempt(claim, call)
    ledger.close_attempt(claim, closing(call.id, cost_usd=Decimal("0.002")))
    ledger.finish(claim, succeeded(), closing(call.id, cost_usd=Decimal("0.002")))
    assert budget(f"batch:{batch_id}") == (Decimal("0.002"), 0, 0)


def _is_rescued(engine: Engine, leases: Leases, job_id: str) -> Stray:
    with engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET lease_until = '2026-01-01' WHERE id = :id"), {"id": job_id})
    (stray,) = leases.strays(limit=9)
    held = {"state": State.WAITING, "outcome": Outcome.UNKNOWN, "error": "lost", "given_up": {}, "rebuys": 0}
    assert leases.rescue(stray, Rescue(rung=0, crashes=1, **held))  # type: ignore[arg-type]
    return stray


def test_a_lost_workers_reservation_stays_spent_until_its_reply_turns_up(
    engine: Engine, ledger: Ledger, leases: Leases, budget: Any
) -> None:
    batch_id, (job_id,) = accepted(ledger, max_cost_usd=_CENT)
    claim, call = claimed(ledger, job_id), _capped(batch_id)
    ledger.open_attempt(claim, call)
    _is_rescued(engine, leases, job_id)
    assert budget(f"batch:{batch_id}") == (0, _CENT, 0)
    closed = closing(call.id, cost_usd=Decimal("0.003"))
    assert ledger.replay(SpooledReply(job_id=job_id, token=claim.token, closing=closed, ending=succeeded()))
    assert budget(f"batch:{batch_id}") == (Decimal("0.003"), 0, 0)


@pytest.mark.parametrize(("end", "counted"), [(unknown, _CENT / 10), (broken, _CENT / 5)])
def test_a_lost_workers_call_that_ends_unknown_after_all_stays_spent(
    engine: Engine, ledger: Ledger, leases: Leases, budget: Any, end: Callable[[str], Closing], counted: Decimal
) -> None:
    batch_id, (job_id,) = accepted(ledger, max_cost_usd=_CENT)
    claim, call = claimed(ledger, job_id), _capped(batch_id, usd=_CENT / 10)
    ledger.open_attempt(claim, call)
    _is_rescued(engine, leases, job_id)
    ledger.close_attempt(claim, end(call.id))
    assert budget(f"batch:{batch_id}") == (0, counted, 0)


def test_a_call_of_a_cancelled_job_whose_worker_is_gone_is_unknown_in_the_end(
    engine: Engine, ledger: Ledger, leases: Leases, job_actions: JobActions, budget: Any
) -> None:
    batch_id, (job_id,) = accepted(ledger, max_cost_usd=_CENT)
    claim, call = claimed(ledger, job_id), _capped(batch_id)
    ledger.open_attempt(claim, call)
    job_actions.cancel(batch_id)
    assert leases.mark_cancelled_unknown(limit=9) == 0
    assert budget(f"batch:{batch_id}") == (0, 0, _CENT)
    with engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET lease_until = '2026-01-01' WHERE id = :id"), {"id": job_id})
    assert (leases.mark_cancelled_unknown(limit=9), leases.mark_cancelled_unknown(limit=9)) == (1, 0)
    assert budget(f"batch:{batch_id}") == (0, _CENT, 0)
    assert not ledger.finish(claim, succeeded(), closing(call.id, cost_usd=Decimal("0.001")))
    assert budget(f"batch:{batch_id}") == (Decimal("0.001"), 0, 0)


def test_a_cancelled_job_that_is_retried_leaves_no_reservation_behind(
    ledger: Ledger, job_actions: JobActions, budget: Any
) -> None:
    batch_id, (job_id,) = accepted(ledger, max_cost_usd=2 * _CENT)
    lost, call = claimed(ledger, job_id), _capped(batch_id)
    ledger.open_attempt(lost, call)
    job_actions.cancel(batch_id)
    assert job_actions.retry(batch_id=batch_id, deadline_s=60) == 1
    assert budget(f"batch:{batch_id}") == (0, _CENT, 0)
    again, second = claimed(ledger, job_id), _capped(batch_id, number=2)
    ledger.open_attempt(again, second)
    ledger.finish(again, succeeded(), closing(second.id, cost_usd=_CENT))
    assert budget(f"batch:{batch_id}") == (_CENT, _CENT, 0)
    ledger.close_attempt(lost, closing(call.id, cost_usd=Decimal("0.001")))
    assert budget(f"batch:{batch_id}") == (_CENT + Decimal("0.001"), 0, 0)


def test_a_call_that_a_worker_of_before_gave_up_is_given_up_with_its_reservation(
    engine: Engine, ledger: Ledger, leases: Leases, job_actions: JobActions, budget: Any
) -> None:
    batch_id, (job_id,) = accepted(ledger, max_cost_usd=_CENT)
    ledger.open_attempt(claimed(ledger, job_id), _capped(batch_id))
    job_actions.cancel(batch_id)
    with engine.begin() as connection:
        connection.execute(text("UPDATE attempts SET outcome = 'unknown'"))
        connection.execute(text("UPDATE jobs SET lease_until = '2026-01-01'"))
    assert leases.mark_cancelled_unknown(limit=9) == 1
    assert budget(f"batch:{batch_id}") == (0, _CENT, 0)


def test_calls_that_are_given_up_cross_none_that_are_opened_and_closed(
    engine: Engine, ledger: Ledger, leases: Leases
) -> None:
    for _ in range(4):
        batches = [accepted(ledger, 10, max_cost_usd=Decimal(50)) for _ in range(4)]
        for batch_id, job_ids in batches:
            for job_id in job_ids[:5]:
                ledger.open_attempt(claimed(ledger, job_id), _capped(batch_id, _WIDE))
        with engine.begin() as connection:
            cancelled = "UPDATE jobs SET state = 'cancelled', lease_until = '2026-01-01' WHERE state = 'running'"
            connection.execute(text(cancelled))

        def work(number: int, batches: list[tuple[str, list[str]]] = batches) -> bool:
            if not number:
                return leases.mark_cancelled_unknown(limit=200) == 20
            batch_id, job_ids = batches[number % 4]
            claim, call = claimed(ledger, job_ids[5 + number // 4]), _capped(batch_id, _WIDE)
            assert ledger.open_attempt(claim, call) is True
            return ledger.finish(claim, succeeded(), closing(call.id)) is not None

        with ThreadPoolExecutor(20) as pool:
            assert all(pool.map(work, range(20)))


def test_a_days_cap_is_what_the_settings_say_today(ledger: Ledger, engine: Engine) -> None:
    _, (first, second) = accepted(ledger, 2)
    ledger.open_attempt(claimed(ledger, first), opening(worst_case_usd=_CENT, caps=(_DAY,)))
    raised = Cap(scope="day", cap_usd=Decimal(7))
    assert ledger.open_attempt(claimed(ledger, second), opening(worst_case_usd=Decimal(6), caps=(raised,))) is True
    with engine.connect() as connection:
        rows = connection.execute(select(BudgetRow.cap_nano_usd, BudgetRow.day)).all()
    assert [cap for cap, _ in rows] == [7]
    assert len(rows[0].day) == len("2026-11-25")


@pytest.mark.parametrize("cap", ["batch", "day", "tree"])
def test_of_fifty_who_open_at_once_ten_fit_under_a_cap_of_ten_and_a_half(ledger: Ledger, budget: Any, cap: str) -> None:
    batch_id, job_ids = accepted(ledger, 50, max_cost_usd=Decimal("0.105") if cap == "batch" else None)
    claims = [claimed(ledger, job_id) for job_id in job_ids]
    caps = ({"batch": Cap(scope=f"batch:{batch_id}", cap_usd=None), "day": _DAY, "tree": _TREE}[cap],)
    start = Barrier(50)

    def work(number: int) -> bool:
        call = opening(worst_case_usd=_CENT, caps=caps)
        start.wait()
        if ledger.open_attempt(claims[number], call) is not True:
            return False
        ledger.finish(claims[number], succeeded(), closing(call.id, cost_usd=_CENT))
        return True

    with ThreadPoolExecutor(50) as pool:
        bought = list(pool.map(work, range(50)))
    assert sum(bought) == 10
    assert budget(caps[0].scope) == (Decimal("0.1"), 0, 0)


def test_budgets_in_any_order_of_caps_never_cross(ledger: Ledger) -> None:
    batches = [accepted(ledger, 20, max_cost_usd=Decimal(50)) for _ in range(2)]
    wide = [Cap(scope=f"{name}", cap_usd=Decimal(100)) for name in ("day", "tag:a=1", "task:x")]

    def work(number: int) -> object:
        batch_id, job_ids = batches[number % 2]
        claim = claimed(ledger, job_ids[number // 2])
        call = _capped(batch_id, *wide)
        assert ledger.open_attempt(claim, call) is True
        return ledger.finish(claim, succeeded(), closing(call.id))

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(work, range(40)))
