"""call_with_fallback as a script would use it: no queue, the same chain, the same ledger."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.sites.direct_site import PROMPT, SCRIPT, Caller, calling
from tests.support.sites.worker_site import ENGINES, HAIKU, OPUS, ROOT, SONNET, one_test


@pytest.fixture(scope="module", params=ENGINES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """Run one script for all tests of this file."""
    with calling(request, tmp_path_factory.mktemp("call")) as caller:
        yield caller


@pytest.fixture
def caller(whole: Caller) -> Iterator[Caller]:
    """Lend it to one test."""
    with one_test(whole.plant):
        yield whole


def test_a_call_gives_four_things_and_its_id_and_its_cost_is_the_purchase_logs(caller: Caller) -> None:
    got, purchases = caller.call(max_tokens=200)
    assert got.keys() == {"model_used", "fallback_depth", "estimated_cost_usd", "content", "job_id"}
    assert (got["model_used"], got["fallback_depth"]) == (OPUS, 0)
    assert got["content"]
    (purchase,), (attempt,) = purchases, caller.attempts(purchases)
    assert (attempt["id"], attempt["outcome"]) == (purchase["attempt"], "answered")
    assert attempt["cost_nano_usd"] * 10**9 == purchase["billed_nano_usd"]
    assert got["estimated_cost_usd"] == str(attempt["cost_nano_usd"])
    assert got["job_id"] == purchase["job"]
    assert caller.job(purchases)["state"] == "succeeded"


@pytest.mark.parametrize(("task", "model"), [("summarize", HAIKU), ("synthesize", OPUS)])
def test_its_task_chooses_where_the_chain_begins(caller: Caller, task: str, model: str) -> None:
    got, _ = caller.call(task=task)
    assert (got["model_used"], got["fallback_depth"]) == (model, 0)


def test_an_overloaded_model_is_stepped_past(caller: Caller) -> None:
    caller.plant.simulator.set_script("[[rules]]\nmodel = 'opus'\nanswer = 529")
    got, purchases = caller.call()
    assert (got["model_used"], got["fallback_depth"]) == (SONNET, 1)
    assert [row["reason"] for row in caller.attempts(purchases)] == ["start", "fallback"]


def test_what_cannot_be_known_is_not_told_as_a_cost(caller: Caller) -> None:
    caller.plant.simulator.set_script("[[rules]]\nmodel = 'opus'\nanswer = 'cut'")
    got, _ = caller.call()
    assert (got["model_used"], got["estimated_cost_usd"]) == (SONNET, "None")


@pytest.mark.parametrize("retry_after", ["", "retry_after_s = 0", "retry_after_s = 1", "retry_after_s = 3600"])
def test_when_all_are_down_the_last_failure_is_told_and_nothing_is_left_waiting(
    caller: Caller, retry_after: str
) -> None:
    caller.plant.simulator.set_script(f"[[rules]]\nanswer = 529\n{retry_after}")
    got, purchases = caller.call()
    assert got["error"] == "ChainExhaustedError"
    assert "overloaded: Overloaded" in got["message"]
    assert purchases[0]["job"] in got["message"]
    assert [purchase["requested_model"] for purchase in purchases] == [OPUS, SONNET, HAIKU]
    assert caller.job(purchases)["state"] == "failed"


@pytest.mark.parametrize(("answer", "outcome"), [("400", "bad_request"), ("413", "too_large")])
def test_what_no_other_model_cures_is_asked_once(caller: Caller, answer: str, outcome: str) -> None:
    caller.plant.simulator.set_script(f"[[rules]]\nanswer = {answer}")
    for _ in range(2):  # and the next call is made all the same
        got, purchases = caller.call()
        assert got["error"] == "ChainExhaustedError"
        assert f"{outcome}: " in got["message"]
        assert len(purchases) == 1
    assert caller.job(purchases)["state"] == "failed"


def test_a_refused_key_is_asked_once_and_then_left_alone_for_a_while(caller: Caller) -> None:
    caller.plant.simulator.set_script("[[rules]]\nanswer = 401")
    got, purchases = caller.call()
    assert "unauthorized: " in got["message"]
    assert len(purchases) == 1
    got, none = caller.call()
    assert (got["error"], none) == ("ChainExhaustedError", [])
    assert "nobody calls with this key" in got["message"]
    caller.plant.simulator.set_script("")
    eventually(lambda: "content" in caller.call()[0], within_s=10, because="the pause ends, and the key works again")


@pytest.mark.parametrize(
    "options", [{"prompt": ""}, {"prompt": " \n"}, {"prompt": "half \ud800"}, {"max_tokens": 0}, {"max_tokens": -1}]
)
def test_what_cannot_be_asked_is_refused_before_anything_is_written(caller: Caller, options: dict[str, Any]) -> None:
    got, purchases = caller.call(**options)
    assert got["error"] == "InputError"
    assert "call_with_fallback: " in got["message"]
    assert purchases == []


def test_a_truncated_answer_is_still_an_answer(caller: Caller) -> None:
    caller.plant.simulator.set_script("[[rules]]\nanswer = 'max_tokens'")
    got, purchases = caller.call(max_tokens=5)
    assert len(got["content"]) == 20
    assert caller.job(purchases)["outcome"] == "truncated"


def test_without_redis_a_process_remembers_by_itself_what_is_down(caller: Caller) -> None:
    caller.plant.simulator.set_script("[[rules]]\nmodel = 'opus'\nanswer = 529")
    asked = "".join(json.dumps({"prompt": PROMPT}) + "\n" for _ in range(5))
    before = len(caller.plant.simulator.purchases())
    reported = subprocess.run(
        SCRIPT,
        cwd=ROOT,
        env={**caller.plant.variables, "REDIS_URL": ""},
        input=asked,
        capture_output=True,
        text=True,
        check=True,
    )
    got = [json.loads(line) for line in reported.stdout.splitlines()]
    assert [(one["model_used"], one["fallback_depth"]) for one in got] == [(SONNET, 1)] * 5
    asked_of = [purchase["requested_model"] for purchase in caller.plant.simulator.purchases()[before:]]
    assert (asked_of.count(OPUS), asked_of.count(SONNET)) == (3, 5)  # three in a row open its cooldown
