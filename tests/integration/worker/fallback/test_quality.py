"""Up for quality, with each job's own terms: the worker's settings say nothing of them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from models.job.task_kinds import JobTerms
from models.outcome import Outcome
from producer.client import Batch, Producer
from producer.prompt.prompt import Prompt
from tests.support.sites.worker_site import ENGINES, HAIKU, OPUS, SONNET, Plant, one_test, running_plant, settings_of

_PROMPT = "Ten harbours were dredged in spring, and two bridges were closed before dawn."
_YEAR = {"type": "object", "properties": {"year": {"type": "integer"}}, "required": ["year"]}
_TASKS = f"""
[extract]
floor = "{SONNET}"
ceiling = "{SONNET}"
patience_s = 0
deadline_s = 600
climb_on = []
expects = {{min_chars = 5, json_schema = "year.json"}}
"""


@pytest.fixture(scope="module", params=ENGINES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Run one worker for all tests of this file."""
    with running_plant(request, tmp_path_factory.mktemp("quality")) as plant:
        yield plant


@pytest.fixture
def plant(whole: Plant) -> Iterator[Plant]:
    """Lend it to one test."""
    with one_test(whole) as plant:
        yield plant


def _submitted(plant: Plant, *, task: str | None = None, producer: Producer | None = None, **terms: Any) -> Batch:
    batch = (producer or plant.producer).submit([Prompt(_PROMPT)], task=task, terms=JobTerms(**terms))
    plant.batches.append(plant.producer.batch(batch.id))  # its own producer may be closed by then
    return batch


def _reported(plant: Plant, batch: Batch) -> list[tuple[Any, ...]]:
    columns = ("requested_model", "reason", "outcome", "max_tokens")
    return [tuple(row[name] for name in columns) for row in plant.attempts(batch)]


def _is_paid_for(plant: Plant, batch: Batch, cost_nano_usd: object) -> bool:
    return cost_nano_usd == sum(int(purchase["billed_nano_usd"]) for purchase in plant.purchases(batch))


def test_a_truncated_summary_gets_more_room_then_climbs_and_all_of_it_is_in_the_ledger(plant: Plant) -> None:
    plant.simulator.set_script("[[rules]]\nmodel = 'haiku'\nanswer = 'max_tokens'")
    batch, answer = plant.answered(_PROMPT, task="summarize")
    assert _reported(plant, batch) == [
        (HAIKU, "start", "truncated", None),
        (HAIKU, "raise", "truncated", 4096),
        (SONNET, "climb", "answered", 4096),
    ]
    assert (answer.state, answer.model, answer.fallback_depth) == ("succeeded", SONNET, 1)
    assert answer.cost_usd is not None
    assert _is_paid_for(plant, batch, answer.cost_usd * 10**9)
    job = plant.jobs(batch)[0]
    assert (job["climb_on"], job["raised_max_tokens"]) == ("empty,truncated", 4096)


def test_a_truncated_summary_that_has_room_the_second_time_stays_where_it_is(plant: Plant) -> None:
    plant.simulator.set_script("[[rules]]\nmodel = 'haiku'\nanswer = 'max_tokens'\ntimes = 1")
    batch, answer = plant.answered(_PROMPT, task="summarize")
    assert _reported(plant, batch) == [(HAIKU, "start", "truncated", None), (HAIKU, "raise", "answered", 4096)]
    assert (answer.outcome, answer.model, answer.fallback_depth) == ("answered", HAIKU, 0)


def test_an_empty_summary_climbs_without_being_asked_to(plant: Plant) -> None:
    plant.simulator.set_script("[[rules]]\nmodel = 'haiku'\nanswer = 'text'\ntext = ' '")
    batch, answer = plant.answered(_PROMPT, task="summarize")
    assert _reported(plant, batch) == [(HAIKU, "start", "empty", None), (SONNET, "climb", "answered", None)]
    assert answer.model == SONNET


@pytest.mark.parametrize("script", ["answer = 'refusal'\noutput = true", "answer = 'refusal'\noutput = false"])
def test_a_refused_job_that_climbs_has_both_attempts_in_the_ledger(plant: Plant, script: str) -> None:
    plant.simulator.set_script(f"[[rules]]\nmodel = 'haiku'\n{script}")
    batch = _submitted(plant, task="summarize", climb_on=frozenset({Outcome.REFUSED}))
    answer = plant.finished(batch)[0]
    assert _reported(plant, batch) == [(HAIKU, "start", "refused", None), (SONNET, "climb", "answered", None)]
    assert answer.cost_usd is not None
    assert _is_paid_for(plant, batch, answer.cost_usd * 10**9)


def test_a_wrong_request_climbs_nowhere_whatever_it_climbs_on(plant: Plant) -> None:
    plant.simulator.set_script("[[rules]]\nanswer = 400")
    batch = _submitted(plant, task="summarize", climb_on=frozenset({*map(Outcome, ("truncated", "refused"))}))
    answer = plant.finished(batch)[0]
    assert _reported(plant, batch) == [(HAIKU, "start", "bad_request", None)]
    assert answer.state == "failed"


def test_an_answer_that_fails_its_check_climbs_and_its_words_are_in_no_row(plant: Plant) -> None:
    plant.simulator.set_script(
        "[[rules]]\nmodel = 'opus'\nanswer = 'text'\ntext = '```json\\u000a{\"year\": 2026}\\u000a```'\n"
        "[[rules]]\nanswer = 'text'\ntext = '{\"year\": \"Zanzibar\"}'"
    )
    batch = _submitted(plant, task="summarize", expects={"json_schema": _YEAR})
    answer = plant.finished(batch)[0]
    assert [row[:3] for row in _reported(plant, batch)] == [
        (HAIKU, "start", "invalid"),
        (SONNET, "climb", "invalid"),
        (OPUS, "climb", "answered"),
    ]
    assert answer.text == '```json\n{"year": 2026}\n```'
    assert "Zanzibar" not in str([plant.attempts(batch), plant.jobs(batch)])


def test_where_nothing_is_left_above_it_fails_and_says_which_check(plant: Plant) -> None:
    batch = _submitted(plant, task="summarize", ceiling=SONNET, expects={"min_chars": 100_000})
    answer = plant.finished(batch)[0]
    assert [row[:3] for row in _reported(plant, batch)] == [(HAIKU, "start", "invalid"), (SONNET, "climb", "invalid")]
    assert (answer.state, answer.outcome, answer.text) == ("failed", "invalid", None)
    assert answer.error is not None
    assert "characters, at least 100000 are asked" in answer.error
    assert _is_paid_for(plant, batch, sum(row["cost_nano_usd"] for row in plant.attempts(batch)) * 10**9)


def _with_tasks(plant: Plant, folder: Path) -> Mapping[str, str]:
    (folder / "year.json").write_text('{"type": "object"}', encoding="utf-8")
    (folder / "tasks.toml").write_text(_TASKS, encoding="utf-8")
    return {**plant.variables, "TASKS_FILE": str(folder / "tasks.toml")}


def test_what_the_producers_tasks_file_asks_is_heeded_by_a_worker_without_one(plant: Plant, tmp_path: Path) -> None:
    with Producer(settings_of(_with_tasks(plant, tmp_path))) as producer:
        batch = _submitted(plant, task="extract", producer=producer)
        answer = plant.finished(batch)[0]
    job = plant.jobs(batch)[0]
    assert (job["start_rung"], job["floor_rung"], job["ceiling_rung"], job["patience_ms"]) == (1, 1, 1, 0)
    assert (job["climb_on"], job["expects"]) == ("", {"min_chars": 5, "json_schema": {"type": "object"}})
    assert (job["deadline_at"] - job["created_at"]).total_seconds() == pytest.approx(600, abs=1)
    assert (answer.state, answer.outcome, len(plant.attempts(batch))) == ("failed", "invalid", 1)


def test_each_prompts_own_task_has_its_own_deadline_and_the_callers_comes_first(plant: Plant, tmp_path: Path) -> None:
    two = [Prompt(_PROMPT), Prompt(_PROMPT, task="extract")]
    with Producer(settings_of(_with_tasks(plant, tmp_path))) as producer:
        mixed = producer.submit(two)
        alike = producer.submit(two, terms=JobTerms(deadline_s=60))
    plant.batches.extend(plant.producer.batch(batch.id) for batch in (mixed, alike))
    left = [
        round((job["deadline_at"] - job["created_at"]).total_seconds(), -1)
        for batch in (mixed, alike)
        for job in plant.jobs(batch)
    ]
    assert left == [86_400, 600, 60, 60]
