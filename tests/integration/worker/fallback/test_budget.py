"""Caps with a real worker: what fits is answered, what does not steps down, waits for tomorrow, or ends with exit 3."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from models.schema.budget import BudgetRow
from producer.prompt.prompt import Prompt
from tests.support.sites.command_line import Stranger, stranger_in
from tests.support.sites.worker_site import ENGINES, HAIKU, Plant, one_test, running_plant

_LONG = Prompt("Summarize: ten harbours were dredged in spring.", max_tokens=2000)


@pytest.fixture(scope="module", params=ENGINES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Run one worker for all tests of this file."""
    folder = tmp_path_factory.mktemp("budget")
    caps = {"TASK_CAPS_USD": "tiny:1", "TAG_CAPS_USD": "team=media:1", "JOB_DEADLINE_S": "172800"}
    with running_plant(request, folder, **caps) as plant:
        yield plant


@pytest.fixture
def plant(whole: Plant) -> Iterator[Plant]:
    """Lend it to one test."""
    with one_test(whole) as plant:
        yield plant


@pytest.fixture
def me(plant: Plant, tmp_path: Path) -> Stranger:
    """Type commands into the same ledger."""
    return stranger_in(tmp_path, **plant.variables)


def test_a_job_steps_down_to_the_rung_that_fits_under_its_batchs_cap(plant: Plant) -> None:
    batch = plant.producer.submit([_LONG], max_cost_usd="0.02")
    (answer,) = plant.finished(batch)
    assert (answer.state, answer.model, answer.fallback_depth) == ("succeeded", HAIKU, 0)
    (job,) = plant.jobs(batch)
    assert job["given_up"] == {"0": "over_budget", "1": "over_budget"}
    (attempt,) = plant.attempts(batch)
    assert attempt["cost_nano_usd"] <= attempt["reserved_nano_usd"] <= batch.progress().cap_usd
    assert attempt["budgets"] == [f"batch:{batch.id}"]


def _used_up(plant: Plant, scope: str) -> None:
    """Have the whole of a day's cap spent."""
    money = {"cap_nano_usd": Decimal(1), "spent_nano_usd": Decimal(1), "unknown_nano_usd": Decimal(0)}
    today = datetime.now(UTC).date().isoformat()
    with plant.engine.begin() as connection:
        connection.execute(insert(BudgetRow).values(scope=scope, day=today, reserved_nano_usd=Decimal(0), **money))


@pytest.mark.parametrize(
    ("wish", "scope"), [({"task": "tiny"}, "task:tiny"), ({"tags": {"team": "media"}}, "tag:team=media")]
)
def test_over_a_days_cap_a_job_waits_for_the_next_utc_day(plant: Plant, wish: dict[str, Any], scope: str) -> None:
    _used_up(plant, scope)
    batch = plant.producer.submit([_LONG], **wish)
    plant.batches.append(batch)
    job = plant.parked(batch)
    tomorrow = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    assert (job["outcome"], job["rung"], job["given_up"]) == ("over_budget", 0, {})
    assert timedelta(0) <= job["due_at"] - tomorrow < timedelta(minutes=1)
    assert f"of {scope}'s cap of $1 $1 are spent and $0 reserved" in job["error"]
    assert plant.attempts(batch) == []
    assert batch.progress().over_budget == 1


def _misread(number: int) -> Prompt:
    """Make a body whose text stands where a careless reader finds an image or a document."""
    text = f"{number} is what harbour costs a day. " * 500
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": text}}
    used = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"picture": image}}
    found = {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": text}]}}
    asked, again = {"role": "user", "content": "Look."}, {"type": "text", "text": "Go on."}
    given = {
        "type": "tool_result",
        "tool_use_id": "toolu_1",
        "content": [found if number % 2 else {**image, "x": text}],
    }
    messages = [asked, {"role": "assistant", "content": [used]}, {"role": "user", "content": [given, again]}]
    tools = [{"name": "look", "input_schema": {"type": "object", "default": image}}]
    return Prompt(id=str(number), params={"max_tokens": 300, "messages": messages, "tools": tools})


def test_receive_body_built_to_be_misread_pass_no_cap(plant: Plant) -> None:
    plant.simulator.set_script("bytes_per_token = 1")
    batch = plant.producer.submit([_misread(number) for number in range(16)], max_cost_usd="1")
    answers = plant.finished(batch)
    assert {answer.state for answer in answers} == {"succeeded", "failed"}
    assert {answer.outcome for answer in answers if answer.state == "failed"} == {"over_budget"}
    billed = sum(one["billed_nano_usd"] for one in plant.purchases(batch))
    assert 500_000_000 < billed <= 1_000_000_000
    assert billed == 1_000_000_000 * batch.progress().cost_usd


def test_a_batch_that_its_cap_stops_ends_with_exit_3_and_goes_on_under_a_new_one(me: Stranger, plant: Plant) -> None:
    me.write("four.txt", "".join(f"Summarize: harbour {number}.\n" for number in range(4)))
    stopped = me.types("submit", "four.txt", "--max-cost", "0.0001", "--watch", expect=3)
    batch = stopped.out.strip()
    assert f"stepdown retry {batch} --failed --max-cost USD goes on" in stopped.err
    assert "4 over budget" in stopped.err
    _, line = me.types("ls", "--limit", "1").out.splitlines()
    assert line.endswith("  $0.00  4 failed (4 over budget) of 4, cap $0.0001")
    assert plant.simulator.purchases() == [
        purchase for purchase in plant.simulator.purchases() if purchase["job"] not in _jobs_of(plant, batch)
    ]
    assert me.types("retry", batch, "--failed", "--max-cost", "1").out == "4 jobs queued again\n"
    me.types("watch", batch)
    reported = json.loads(me.types("status", batch, "--json").out)
    assert (reported["succeeded"], reported["over_budget"], reported["max_cost_usd"]) == (4, 0, "1.000000000")


def _jobs_of(plant: Plant, batch_id: str) -> set[str]:
    return {answer.job_id for answer in plant.producer.store.reports.answers(batch_id)}


@pytest.mark.parametrize("cap", ["0", "-1", "NaN", "inf", "1e12", "0.0000000001", "a dollar"])
def test_a_cap_that_is_no_amount_is_refused_before_anything_is_queued(me: Stranger, cap: str) -> None:
    me.write("one.txt", "Summarize: harbours.\n")
    before = me.types("ls", "--limit", "1").out
    refused = me.types("submit", "one.txt", f"--max-cost={cap}", expect=2)
    assert "max_cost: " in refused.err
    assert "should be USD, such as 2.50" in refused.err
    assert me.types("ls", "--limit", "1").out == before


def test_a_new_cap_below_what_is_spent_is_refused(me: Stranger) -> None:
    me.write("one.txt", "Summarize: harbours.\n")
    batch = me.types("submit", "one.txt", "--max-cost", "1", "--watch").out.strip()
    refused = me.types("retry", batch, "--max-cost", "0.000001", expect=2)
    assert "would leave nothing: $0.00" in refused.err
    assert "are spent, or may be; give more than that" in refused.err


def test_one_key_with_another_cap_is_another_submission_and_is_refused(me: Stranger) -> None:
    me.write("one.txt", "Summarize: harbours.\n")
    first = me.types("submit", "one.txt", "--key", "capped/1", "--max-cost", "1").out
    assert me.types("submit", "one.txt", "--key", "capped/1", "--max-cost", "1.00").out == first
    for other in ([], ["--max-cost", "2"]):
        assert "capped/1" in me.types("submit", "one.txt", "--key", "capped/1", *other, expect=2).err


def test_a_batch_without_a_cap_cannot_be_given_one_later(me: Stranger, plant: Plant) -> None:
    batch, _ = plant.answered("Ten harbours were dredged in spring.")
    refused = me.types("retry", batch.id, "--max-cost", "1", expect=2)
    assert "has none yet, and its calls so far were not counted" in refused.err
