"""Faults that pass: a job is parked in the ledger, not in Redis, and goes on where it stood."""

from collections.abc import Iterator

import pytest

from producer.prompt.prompt import Prompt
from tests.support.eventually import eventually
from tests.support.sites.worker_site import ENGINES, OPUS, SONNET, Plant, one_test, running_plant

_PROMPT = "Ten harbours were dredged in spring."


@pytest.fixture(scope="module", params=ENGINES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Run one worker for all tests of this file."""
    with running_plant(request, tmp_path_factory.mktemp("waiting"), CLIMB_ON="truncated") as plant:
        yield plant


@pytest.fixture
def plant(whole: Plant) -> Iterator[Plant]:
    """Lend it to one test."""
    with one_test(whole) as plant:
        yield plant


def test_while_every_model_is_overloaded_a_job_waits_in_the_ledger_and_then_finishes(plant: Plant) -> None:
    plant.simulator.set_script("[[rules]]\nanswer = 529")
    batch = plant.submit(_PROMPT)
    job = plant.parked(batch)
    assert (job["outcome"], job["lease_until"]) == ("overloaded", None)
    assert job["due_at"] is not None
    assert job["rounds"] >= 1
    eventually(lambda: plant.queued_messages() == 0, within_s=5, because="a waiting job has no message")
    plant.simulator.set_script("")
    answer = plant.finished(batch)[0]
    assert (answer.state, answer.model, answer.fallback_depth) == ("succeeded", OPUS, 0)
    attempts = plant.attempts(batch)
    assert [row["rung"] for row in attempts][:3] == [0, 1, 2]
    assert [row["reason"] for row in attempts][:3] == ["start", "fallback", "fallback"]
    assert attempts[-1]["reason"] == "resume"
    assert [row["attempt_no"] for row in attempts] == list(range(1, len(attempts) + 1))
    assert {row["cost_nano_usd"] for row in attempts[:-1]} == {0}


def test_a_rung_that_may_have_been_billed_is_not_bought_again_after_a_wait(plant: Plant) -> None:
    plant.simulator.set_script("[[rules]]\nmodel = 'opus'\nanswer = 'cut'\n[[rules]]\nanswer = 529\ntimes = 2")
    batch = plant.submit(_PROMPT)
    answer = plant.finished(batch)[0]
    assert (answer.state, answer.model, answer.fallback_depth) == ("succeeded", SONNET, 1)
    assert [purchase["requested_model"] for purchase in plant.purchases(batch)].count(OPUS) == 1


def test_a_short_retry_after_is_waited_for_on_the_same_rung(plant: Plant) -> None:
    plant.simulator.set_script("[[rules]]\nanswer = 429\nretry_after_s = 1\ntimes = 1")
    batch, answer = plant.answered(_PROMPT)
    limited, resumed = plant.attempts(batch)
    assert (limited["outcome"], limited["retry_after_ms"]) == ("rate_limited", 1000)
    assert (resumed["reason"], resumed["requested_model"]) == ("resume", OPUS)
    assert (resumed["opened_at"] - limited["closed_at"]).total_seconds() >= 1
    assert (answer.model, answer.fallback_depth) == (OPUS, 0)


def test_a_model_that_says_one_second_for_ever_is_left_after_one_wait(plant: Plant) -> None:
    plant.simulator.set_script("[[rules]]\nmodel = 'opus'\nanswer = 429\nretry_after_s = 1")
    batch, answer = plant.answered(_PROMPT)
    assert [row["reason"] for row in plant.attempts(batch)] == ["start", "resume", "fallback"]
    assert (answer.state, answer.model, answer.fallback_depth) == ("succeeded", SONNET, 1)


def test_a_truncated_answer_outlives_a_climb_in_vain(plant: Plant) -> None:
    plant.simulator.set_script("[[rules]]\nmodel = 'opus'\nanswer = 529\n[[rules]]\nanswer = 'max_tokens'")
    batch, answer = plant.answered(Prompt(_PROMPT, start=SONNET, floor=SONNET))
    assert [row["outcome"] for row in plant.attempts(batch)] == ["truncated", "truncated", "overloaded"]
    assert (answer.state, answer.outcome, answer.model) == ("succeeded", "truncated", SONNET)
    assert answer.text


@pytest.mark.parametrize("answer", ["429", "429_ramp_limit"])
def test_a_long_retry_after_is_not_waited_for(plant: Plant, answer: str) -> None:
    plant.simulator.set_script(f"[[rules]]\nmodel = 'opus'\nanswer = '{answer}'\nretry_after_s = 3600")
    batch, answered = plant.answered(_PROMPT)
    limited, stepped = plant.attempts(batch)
    assert (limited["retry_after_ms"], stepped["reason"]) == (3_600_000, "fallback")
    assert (answered.state, answered.model, answered.fallback_depth) == ("succeeded", SONNET, 1)


def test_advice_to_wait_for_months_can_be_written_down(plant: Plant) -> None:
    plant.simulator.set_script("[[rules]]\nmodel = 'opus'\nanswer = 429\nretry_after_s = 9000000")
    _, answered = plant.answered(_PROMPT)
    assert (answered.state, answered.model) == ("succeeded", SONNET)


def test_a_request_that_nothing_can_answer_keeps_no_other_job_from_its_model(plant: Plant) -> None:
    plant.simulator.set_script("[[rules]]\nprompt_contains = 'poison'\nanswer = 500")
    poison = plant.submit("poison")
    eventually(lambda: len(plant.attempts(poison)) > 8, within_s=20, because="it was tried on all models, and again")
    batch, answer = plant.answered(_PROMPT)
    assert (answer.model, answer.fallback_depth) == (OPUS, 0)
    assert [row["outcome"] for row in plant.attempts(batch)] == ["answered"]
    plant.simulator.set_script("")
    assert plant.finished(poison)[0].state == "succeeded"
