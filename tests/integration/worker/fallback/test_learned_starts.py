"""TASK_STARTS=summarize:auto, end to end: what a real worker's attempts taught is where the next batch starts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from producer.client import Producer
from producer.prompt.prompt import Prompt
from tests.support.sites.worker_site import ENGINES, HAIKU, OPUS, SONNET, Plant, running_plant, settings_of

_TEXT = "Ten harbours were dredged in spring."
_AUTO = {"TASK_STARTS": "summarize:auto", "CLIMB_ON": "truncated,refused", "EXPLORE_SHARE": "0.1"}


@pytest.fixture(params=ENGINES)
def plant(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Plant]:
    """Run a worker with a ledger that has learned nothing yet."""
    with running_plant(request, tmp_path, **_AUTO) as plant:
        yield plant


def _learn(plant: Plant) -> None:
    """Have forty summaries start on each model."""
    prompts = [Prompt(f"{_TEXT} {n}", start=model) for model in (OPUS, SONNET, HAIKU) for n in range(40)]
    plant.finished(plant.submit(*prompts, task="summarize"), within_s=60)


@pytest.mark.parametrize(
    ("script", "start"),
    [("", HAIKU), ("[[rules]]\nmodel = 'haiku'\nshare = 0.9\nanswer = 'max_tokens'", SONNET)],
)
def test_a_batch_starts_on_the_cheapest_model_that_has_shown_it_will_do(plant: Plant, script: str, start: str) -> None:
    plant.simulator.set_script(script)
    _learn(plant)
    with Producer(settings_of(plant.variables)) as producer:
        batch = producer.submit([Prompt(f"{_TEXT} Again, {n}.") for n in range(100)], task="summarize")
        answers = plant.finished(batch, within_s=60)
    assert {answer.state for answer in answers} == {"succeeded"}
    jobs = plant.jobs(batch)
    assert {job["start_model"] for job in jobs if job["start_reason"] == "learned"} == {start}
    others = [job for job in jobs if job["start_model"] != start]
    assert {job["start_reason"] for job in others} <= {"explored"}
    assert len(others) < 50
    first = {row["job_id"]: row["requested_model"] for row in plant.attempts(batch) if row["attempt_no"] == 1}
    assert first == {job["id"]: job["start_model"] for job in jobs}
