"""call_with_fallback as a script would use it: no queue, the same chain, the same ledger."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.eventually import eventually
from tests.running import ENGINES, HAIKU, OPUS, ROOT, SONNET, Plant, idle_plant, one_test

_PROMPT = "Ten harbours were dredged in spring, and two bridges were closed before dawn."
_SCRIPT = """
import json, sys
from worker import call_with_fallback

for line in sys.stdin:
    try:
        result = call_with_fallback(**json.loads(line))
        told = result | {"estimated_cost_usd": str(result["estimated_cost_usd"])}
    except Exception as error:
        told = {"error": type(error).__name__, "said": str(error)}
    print(json.dumps(told), flush=True)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A script that calls, and the API and the ledger it calls on."""

    plant: Plant
    process: "subprocess.Popen[str]"

    def call(self, prompt: str = _PROMPT, **options: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Call once; returns what the script got, and the purchases it made."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        before = len(self.plant.simulator.purchases())
        self.process.stdin.write(json.dumps({"prompt": prompt, **options}) + "\n")
        self.process.stdin.flush()
        got: dict[str, Any] = json.loads(self.process.stdout.readline())
        return got, self.plant.simulator.purchases()[before:]

    def job(self, purchases: list[dict[str, Any]]) -> dict[str, Any]:
        """Read the row of the job that was bought for."""
        return self.plant.producer.books.reports.job(purchases[0]["job"])

    def attempts(self, purchases: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Read the attempts of that job."""
        return self.plant.producer.books.reports.attempts(purchases[0]["job"])


@pytest.fixture(scope="module", params=ENGINES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """Run one script for all tests of this file; in the end it must close without a complaint."""
    folder = tmp_path_factory.mktemp("call")
    with idle_plant(request, folder, KEY_PAUSE_S="1") as plant, plant.worker_log.open("wb") as words:
        with subprocess.Popen(
            [sys.executable, "-c", _SCRIPT],
            cwd=ROOT,
            env=plant.variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            text=True,
        ) as process:
            yield Caller(plant=plant, process=process)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(20) == 0
        words_said = plant.worker_log.read_text(encoding="utf-8")
        assert "Traceback" not in words_said
        assert "Warning" not in words_said


@pytest.fixture
def caller(whole: Caller) -> Iterator[Caller]:
    """Lend it to one test."""
    with one_test(whole.plant):
        yield whole


def test_a_call_gives_four_things_and_its_cost_is_the_purchase_logs(caller: Caller) -> None:
    got, purchases = caller.call(max_tokens=200)
    assert got.keys() == {"model_used", "fallback_depth", "estimated_cost_usd", "content"}
    assert (got["model_used"], got["fallback_depth"]) == (OPUS, 0)
    assert got["content"]
    (purchase,), (attempt,) = purchases, caller.attempts(purchases)
    assert (attempt["id"], attempt["outcome"]) == (purchase["attempt"], "answered")
    assert attempt["cost_nano_usd"] * 10**9 == purchase["billed_nano_usd"]
    assert got["estimated_cost_usd"] == str(attempt["cost_nano_usd"])
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
    assert "overloaded: Overloaded" in got["said"]
    assert purchases[0]["job"] in got["said"]
    assert [purchase["requested_model"] for purchase in purchases] == [OPUS, SONNET, HAIKU]
    assert caller.job(purchases)["state"] == "failed"


@pytest.mark.parametrize(("answer", "outcome"), [("400", "bad_request"), ("413", "too_large")])
def test_what_no_other_model_cures_is_asked_once(caller: Caller, answer: str, outcome: str) -> None:
    caller.plant.simulator.set_script(f"[[rules]]\nanswer = {answer}")
    for _ in range(2):  # and the next call is made all the same
        got, purchases = caller.call()
        assert got["error"] == "ChainExhaustedError"
        assert f"{outcome}: " in got["said"]
        assert len(purchases) == 1
    assert caller.job(purchases)["state"] == "failed"


def test_a_refused_key_is_asked_once_and_then_left_alone_for_a_while(caller: Caller) -> None:
    caller.plant.simulator.set_script("[[rules]]\nanswer = 401")
    got, purchases = caller.call()
    assert "unauthorized: " in got["said"]
    assert len(purchases) == 1
    got, none = caller.call()
    assert (got["error"], none) == ("ChainExhaustedError", [])
    assert "calling is paused for this key" in got["said"]
    caller.plant.simulator.set_script("")
    eventually(lambda: "content" in caller.call()[0], within_s=10, because="the pause ends, and the key works again")


@pytest.mark.parametrize(
    "options", [{"prompt": ""}, {"prompt": " \n"}, {"prompt": "half \ud800"}, {"max_tokens": 0}, {"max_tokens": -1}]
)
def test_what_cannot_be_asked_is_refused_before_anything_is_written(caller: Caller, options: dict[str, Any]) -> None:
    got, purchases = caller.call(**options)
    assert got["error"] == "InputError"
    assert "call_with_fallback: " in got["said"]
    assert purchases == []


def test_a_truncated_answer_is_still_an_answer(caller: Caller) -> None:
    caller.plant.simulator.set_script("[[rules]]\nanswer = 'max_tokens'")
    got, purchases = caller.call(max_tokens=5)
    assert len(got["content"]) == 20
    assert caller.job(purchases)["outcome"] == "truncated"


def test_without_redis_a_process_remembers_by_itself_what_is_down(caller: Caller) -> None:
    caller.plant.simulator.set_script("[[rules]]\nmodel = 'opus'\nanswer = 529")
    asked = "".join(json.dumps({"prompt": _PROMPT}) + "\n" for _ in range(5))
    before = len(caller.plant.simulator.purchases())
    told = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        cwd=ROOT,
        env={**caller.plant.variables, "REDIS_URL": ""},
        input=asked,
        capture_output=True,
        text=True,
        check=True,
    )
    got = [json.loads(line) for line in told.stdout.splitlines()]
    assert [(one["model_used"], one["fallback_depth"]) for one in got] == [(SONNET, 1)] * 5
    asked_of = [purchase["requested_model"] for purchase in caller.plant.simulator.purchases()[before:]]
    assert (asked_of.count(OPUS), asked_of.count(SONNET)) == (3, 5)  # three in a row open its cooldown
