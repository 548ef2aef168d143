"""A job walks down to what fits under its caps; where nothing does, it waits, or ends as over budget."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from models.chain.chain import RungRange
from models.job.values import Cap
from models.outcome import Outcome, State
from tests.support.ledgers.job_values import closing, new_job, opening
from tests.support.ledgers.memory_ledger import MemoryLedger
from tests.support.plays.awaited import finished
from tests.support.plays.walk_scene import A_DAY_S, HAIKU, OPUS, SONNET, WORST_USD, Scene, scene
from worker.events import WorstCasePassed
from worker.fallback.caps import Caps
from worker.fallback.walk import walk


def _capped(day_usd: str, *script: str, waits: bool = True, **changes: Any) -> Scene:
    return scene(*script, caps=Caps(day_usd=Decimal(day_usd), waits=waits), **changes)


def _spent(found: Scene, usd: str, *, in_flight: bool = False) -> None:
    """Have another job's call take so much of the day."""
    ledger, other = found.ledger, new_job(2)
    ledger.add(other)
    claim = ledger.claim(other.id, lease_s=60)
    assert claim is not None
    gone = opening(caps=(Cap(scope="day", cap_usd=Decimal(1000)),), worst_case_usd=Decimal(usd))
    assert ledger.open_attempt(claim, gone) is True
    if not in_flight:
        ledger.close_attempt(claim, closing(gone.id, cost_usd=Decimal(usd)))


def test_what_fits_under_the_cap_starts_where_it_would() -> None:
    found = _capped("0.5")
    found.walk()
    assert found.provider.calls == [OPUS]
    assert found.attempts[0].opening.worst_case_usd == WORST_USD[OPUS]


def test_what_does_not_fit_steps_down_to_a_rung_that_does_without_counting_as_a_fallback() -> None:
    found = _capped("0.35")
    ending = found.walk().ending
    assert found.provider.calls == [SONNET]
    assert ending is not None
    assert (ending.state, ending.fallback_depth, ending.given_up) == (State.SUCCEEDED, 0, {0: "over_budget"})


def test_a_fallback_that_does_not_fit_is_passed_over_as_well() -> None:
    found = _capped("0.65", "529")
    _spent(found, "0.15")
    found.walk()
    assert found.provider.calls == [OPUS, SONNET]
    found = _capped("0.65", "529")
    _spent(found, "0.4")
    found.walk()
    assert found.provider.calls == [HAIKU]


def _used_up() -> Scene:
    """Have a day's cap of which so much is spent that the cheapest call does not fit, and would tomorrow."""
    found = _capped("0.35")
    _spent(found, "0.3")
    return found


def test_over_the_days_cap_a_job_waits_for_the_next_utc_day() -> None:
    found = _used_up()
    ending = found.walk(time_left_s=2 * A_DAY_S).ending
    assert found.provider.calls == []
    assert ending is not None
    assert (ending.state, ending.outcome, ending.due_in_s, ending.given_up, ending.rung) == (
        State.WAITING,
        "over_budget",
        A_DAY_S + 1,
        {},
        0,
    )
    assert ending.error == (
        "over budget: this call may cost $0.1, and of the day's cap of $0.35 $0.3 are spent and $0 reserved"
    )


def test_a_job_whose_deadline_comes_before_tomorrow_fails_now() -> None:
    ending = _used_up().walk(time_left_s=A_DAY_S - 1).ending
    assert ending is not None
    assert (ending.state, ending.outcome) == (State.FAILED, "over_budget")
    assert str(ending.error).endswith("; the next chance would come after the job's deadline")


def test_a_job_that_no_day_has_room_for_does_not_wait_for_one() -> None:
    ending = _capped("0.05").walk(time_left_s=9 * A_DAY_S).ending
    assert ending is not None
    assert (ending.state, ending.outcome) == (State.FAILED, "over_budget")


def test_a_job_waits_for_the_end_of_the_ledgers_day_not_of_its_workers() -> None:
    found = _used_up()
    claim = found.ledger.claim("job-1", lease_s=60)
    assert claim is not None
    ending = finished(walk(replace(claim, day_left_s=7), found.worker, time_left_s=A_DAY_S)).ending
    assert ending is not None
    assert ending.due_in_s == 8


def test_over_the_days_cap_a_job_fails_where_the_setting_says_so() -> None:
    ending = _capped("0.05", waits=False).walk().ending
    assert ending is not None
    assert (ending.state, ending.outcome) == (State.FAILED, "over_budget")


def test_over_its_batchs_cap_a_job_fails_for_there_is_no_tomorrow() -> None:
    ledger = MemoryLedger()
    ledger.caps["batch:None"] = Decimal("0.05")
    found = scene(ledger=ledger)
    ending = found.walk().ending
    assert ending is not None
    assert (ending.state, ending.outcome) == (State.FAILED, "over_budget")
    assert "of batch:None's cap of $0.05" in str(ending.error)


def test_what_calls_in_flight_hold_is_waited_for_and_not_given_up() -> None:
    found = _capped("0.55")
    _spent(found, "0.5", in_flight=True)
    ending = found.walk().ending
    assert found.provider.calls == []
    assert ending is not None
    assert (ending.state, ending.outcome, ending.given_up, ending.rung) == (State.WAITING, "reserved", {}, 0)
    assert ending.due_in_s == 2.0


def test_while_something_is_spent_a_job_still_waits_for_calls_in_flight() -> None:
    found = _capped("0.65")
    _spent(found, "0.1")
    _spent(found, "0.5", in_flight=True)
    ending = found.walk().ending
    assert ending is not None
    assert (ending.state, ending.outcome) == (State.WAITING, "reserved")


def test_a_job_that_runs_out_of_time_while_calls_in_flight_hold_the_rest_is_over_budget() -> None:
    found = _capped("0.55")
    _spent(found, "0.5", in_flight=True)
    ending = found.walk(time_left_s=0).ending
    assert ending is not None
    assert (ending.state, ending.outcome) == (State.FAILED, "over_budget")


def test_a_climb_that_does_not_fit_keeps_the_answer_it_has_and_buys_no_worse_one() -> None:
    climbing: dict[str, Any] = {
        "climbs": frozenset({Outcome.TRUNCATED}),
        "span": RungRange(start=1, floor=2, ceiling=0),
    }
    found = _capped("0.35", "max_tokens", "max_tokens", **climbing)
    ending = found.walk().ending
    assert found.provider.calls == [SONNET, SONNET]
    assert ending is not None
    assert (ending.state, ending.is_truncated, ending.rung) == (State.SUCCEEDED, True, 1)


def test_a_refused_job_that_cannot_afford_the_climb_fails_as_refused() -> None:
    climbing: dict[str, Any] = {"climbs": frozenset({Outcome.REFUSED}), "span": RungRange(start=1, floor=2, ceiling=0)}
    found = _capped("0.35", "refusal", **climbing)
    ending = found.walk().ending
    assert found.provider.calls == [SONNET]
    assert ending is not None
    assert (ending.state, ending.outcome) == (State.FAILED, "refused")


def test_a_model_that_nothing_bounds_is_passed_over_under_a_cap_only() -> None:
    bounds = {OPUS: None, SONNET: None, HAIKU: Decimal("0.1")}
    found = _capped("1", worst_case_usd=lambda model, _params: bounds[model])
    found.walk()
    assert found.provider.calls == [HAIKU]
    free = scene(worst_case_usd=lambda _model, _params: None)
    free.walk()
    assert free.provider.calls == [OPUS]


def test_a_job_that_nothing_bounds_at_all_is_over_budget() -> None:
    found = _capped("1", worst_case_usd=lambda _model, _params: None)
    ending = found.walk().ending
    assert ending is not None
    assert (ending.state, ending.outcome, found.provider.calls) == (State.FAILED, "over_budget", [])
    assert "nothing bounds what" in str(ending.error)


def test_a_job_that_comes_back_looks_at_every_cap_anew() -> None:
    found = _used_up()
    found.walk(time_left_s=2 * A_DAY_S)
    parked = replace(found.job, rung=0, given_up={0: "over_today", 1: "reserved"}, due_at=0)
    found.ledger.jobs["job-1"] = parked
    again = replace(found, worker=replace(found.worker, caps=Caps(day_usd=Decimal(1))))
    again.walk()
    assert again.provider.calls == [OPUS]
    assert again.job.given_up == {}


@pytest.mark.parametrize("end", ["ok", "broke_off"])
def test_a_cost_above_the_worst_case_is_told(end: str) -> None:
    found = _capped("1", end, worst_case_usd=lambda model, _params: Decimal("0.0001" if model == OPUS else "0.1"))
    found.walk()
    assert [type(event) for event in found.events if isinstance(event, WorstCasePassed)] == [WorstCasePassed]


def test_who_stands_by_hears_of_a_cap_before_any_wait_for_a_model() -> None:
    found = _capped("0.05", held=["circuit_open:4"], terms={"is_urgent": True})
    ending = found.walk(time_left_s=0).ending
    assert ending is not None
    assert (ending.state, ending.outcome, found.admission.needs) == (State.FAILED, "over_budget", [])
    found = _capped("0.35", held=["circuit_open:4"], terms={"is_urgent": True})
    found.walk()
    assert found.provider.calls == [HAIKU], "opus does not fit, and the circuit of sonnet is open"
