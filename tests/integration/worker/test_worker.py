"""A real worker on both ledgers: what is answered, what it cost, and that nothing is bought twice."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, text

from models.ids import new_id
from models.job.values import Unsent
from models.queue.broker import Broker
from models.queue.celery_app import celery_app
from tests.support.eventually import eventually
from tests.support.sites.worker_site import ENGINES, HAIKU, OPUS, SONNET, Plant, one_test, running_plant


@pytest.fixture(scope="module", params=ENGINES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Run one worker for all tests of this file."""
    with running_plant(request, tmp_path_factory.mktemp("worker")) as plant:
        yield plant


@pytest.fixture
def plant(whole: Plant) -> Iterator[Plant]:
    """Lend it to one test."""
    with one_test(whole) as plant:
        yield plant


@pytest.fixture
def broker(plant: Plant) -> Iterator[Broker]:
    """Send messages past the producer."""
    broker = Broker(plant.variables["REDIS_URL"])
    yield broker
    broker.close()


def test_a_batch_is_answered_and_its_costs_are_the_purchase_log_to_the_nano_dollar(plant: Plant) -> None:
    batch = plant.submit(*(f"Summarize: bridge {number} was closed before dawn." for number in range(60)))
    answers = plant.finished(batch)
    assert {answer.state for answer in answers} == {"succeeded"}
    assert [answer.id for answer in answers] == [str(number) for number in range(1, 61)]
    attempts = {row["id"]: row for row in plant.attempts(batch)}
    purchases = plant.purchases(batch)
    assert len(purchases) == 60
    assert {purchase["attempt"] for purchase in purchases} == attempts.keys()
    for purchase in purchases:
        assert attempts[purchase["attempt"]]["cost_nano_usd"] * 10**9 == purchase["billed_nano_usd"] > 0
    assert batch.progress().cost_usd * 10**9 == sum(purchase["billed_nano_usd"] for purchase in purchases)


@pytest.mark.parametrize(("task", "model"), [("summarize", HAIKU), ("synthesize", OPUS), (None, OPUS)])
def test_a_task_starts_where_task_starts_puts_it(plant: Plant, task: str | None, model: str) -> None:
    batch, answer = plant.answered("Ten harbours were dredged in spring.", task=task)
    assert (answer.state, answer.model, answer.fallback_depth) == ("succeeded", model, 0)
    assert [purchase["requested_model"] for purchase in plant.purchases(batch)] == [model]


def test_with_the_cheap_model_down_a_summary_climbs_to_the_next_one_up(plant: Plant) -> None:
    plant.simulator.set_script('[[rules]]\nmodel = "haiku"\nanswer = 529')
    batch, answer = plant.answered("Ten harbours were dredged in spring.", task="summarize")
    assert (answer.state, answer.model, answer.fallback_depth) == ("succeeded", SONNET, 1)
    reported = [(row["requested_model"], row["reason"], row["outcome"]) for row in plant.attempts(batch)]
    assert reported == [(HAIKU, "start", "overloaded"), (SONNET, "fallback", "answered")]


def test_a_message_delivered_three_times_buys_once(plant: Plant, broker: Broker) -> None:
    plant.simulator.set_script("[[rules]]\nanswer = 'slow'\ndelay_s = 0.3")
    batch = plant.submit("Ten harbours were dredged in spring.")
    job_id = plant.jobs(batch)[0]["id"]
    broker.send([Unsent(id=job_id, rung=0), Unsent(id=job_id, rung=2)])
    plant.finished(batch)
    dropped = f"job {job_id}: delivery dropped".encode()
    # The clock may have sent one more: it saw the job before the producer had noted its message.
    eventually(lambda: plant.worker_log.read_bytes().count(dropped) >= 2, within_s=20, because="two are dropped")
    assert len(plant.purchases(batch)) == len(plant.attempts(batch)) == 1


def test_forged_messages_and_unknown_jobs_harm_nothing(plant: Plant, broker: Broker) -> None:
    before = len(plant.simulator.purchases())
    forged = ["", "nobody", "' OR 1=1 --", "a\0b", "\ud800", "x" * 5000, new_id()]
    broker.send([Unsent(id=job_id, rung=0) for job_id in forged])
    app = celery_app(plant.variables["REDIS_URL"], rungs=3)
    kwargs: list[dict[str, object]] = [{}, {"v": 1}, {"v": 1, "id": {"a": [1]}}, {"v": 1, "id": None}, {"v": "1"}]
    for wrong in kwargs:
        app.send_task("stepdown.run", kwargs=wrong)
    app.send_task("stepdown.unknown", kwargs={"v": 1})
    _, answer = plant.answered("Ten harbours were dredged in spring.")
    assert answer.state == "succeeded"
    assert len(plant.simulator.purchases()) == before + 1


def test_a_message_of_a_later_version_is_refused_and_its_extra_words_are_not(plant: Plant) -> None:
    app = celery_app(plant.variables["REDIS_URL"], rungs=3)
    plant.simulator.set_script("[[rules]]\nanswer = 'slow'\ndelay_s = 0.3")
    batch = plant.submit("Ten harbours were dredged in spring.")
    job_id = plant.jobs(batch)[0]["id"]
    app.send_task("stepdown.run", kwargs={"v": 2, "id": job_id})
    app.send_task("stepdown.run", kwargs={"v": 1, "id": job_id, "priority": "high", "rung": 2})
    assert plant.finished(batch)[0].state == "succeeded"
    assert len(plant.purchases(batch)) == 1


def test_cancelled_jobs_are_never_called_and_calls_in_flight_are_still_paid_for(plant: Plant) -> None:
    plant.simulator.set_script("[[rules]]\nanswer = 'slow'\ndelay_s = 0.5")
    batch = plant.submit(*(f"Harbour {number} was dredged in spring." for number in range(40)))
    eventually(lambda: plant.purchases(batch), within_s=20, because="the first jobs are called")
    assert batch.cancel() > 0
    attempts = eventually(lambda: _all_closed(plant.attempts(batch)), within_s=20, because="calls in flight end")
    eventually(lambda: plant.queued_messages() == 0, within_s=20, because="the messages are taken and dropped")
    cancelled_at = {row["id"]: row["finished_at"] for row in plant.jobs(batch)}
    assert all(row["opened_at"] <= cancelled_at[row["job_id"]] for row in attempts)
    assert {row["outcome"] for row in attempts} <= {"late", "answered"}
    assert "late" in {row["outcome"] for row in attempts}
    billed = {purchase["attempt"]: purchase["billed_nano_usd"] for purchase in plant.purchases(batch)}
    assert {row["id"]: row["cost_nano_usd"] * 10**9 for row in plant.attempts(batch)} == billed


def _all_closed(attempts: list[dict[str, object]]) -> list[dict[str, object]]:
    return attempts if all(row["closed_at"] for row in attempts) else []


def test_prompts_of_ten_megabytes_are_asked_once_and_are_not_in_redis(plant: Plant) -> None:
    before = plant.redis.info("memory")["used_memory"]
    batch = plant.submit(*(f"{number} " + "harbour " * 1_250_000 for number in range(3)))
    assert plant.redis.info("memory")["used_memory"] - before < 5_000_000
    reported = [(answer.state, answer.outcome) for answer in plant.finished(batch, within_s=60)]
    assert reported == [("failed", "too_long")] * 3, "no model's window holds them"
    assert len(plant.purchases(batch)) == 3


def test_answers_with_nul_and_half_surrogates_come_back_unharmed(plant: Plant) -> None:
    plant.simulator.set_script("[[rules]]\nanswer = 'text'\ntext = 'one\\u0000two\\ud800three \\udfff'")
    _, answer = plant.answered("Ten harbours were dredged in spring.")
    assert answer.text == "one\0two\ud800three \udfff"


def test_a_ledger_that_fails_loses_no_answer_and_spills_none_into_the_log(plant: Plant) -> None:
    plant.simulator.set_script("[[rules]]\nanswer = 'text'\ntext = 'canary'")
    before = plant.worker_log.stat().st_size
    with _without_answers(plant.engine):
        batch = plant.submit("Ten harbours were dredged in spring.")
        log = eventually(
            lambda: message if b"is kept here until" in (message := plant.worker_log.read_bytes()[before:]) else None,
            within_s=20,
            because="the answer cannot be kept",
        )
        assert b"canary" not in log
        assert b"harbours" not in log
        (attempt,) = plant.attempts(batch)
        assert attempt["closed_at"] is None
    (answer,) = eventually(
        lambda: list(batch.answers()) if batch.progress().is_finished else None,
        within_s=20,
        because="the reply is replayed",
    )
    assert answer.text == "canary"
    assert len(plant.purchases(batch)) == 1


@contextmanager
def _without_answers(engine: Engine) -> Iterator[None]:
    """Take the table of answers away."""
    for old, new in (("answers", "answers_away"), ("answers_away", "answers")):
        with engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))
        if old == "answers":
            yield
