"""Callers on an event loop of their own, and many threads: one loop of ours serves them all."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from models.errors import ChainExhaustedError
from producer.simulator.process import RunningSimulator, running_simulator
from tests.support.eventually import eventually
from tests.support.sites.worker_site import OPUS, SONNET
from worker import AsyncChainClient, acall_with_fallback, call_with_fallback
from worker.direct.direct_job import worker_of_this_process

_REQUEST: dict[str, Any] = {"model": OPUS, "max_tokens": 100, "messages": [{"role": "user", "content": "Be brief."}]}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSimulator]:
    """Open the worker of this process on a ledger and an API of its own, once: a process has one."""
    folder = tmp_path_factory.mktemp("direct")
    with running_simulator(latency_s=0.05) as api, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in {
            "ANTHROPIC_API_KEY": "k",
            "ANTHROPIC_BASE_URL": api.url,
            "DATABASE_URL": f"sqlite:///{folder}/ledger.db",
            "STATE_DIR": str(folder),
        }.items():
            patch.setenv(name, value)
        worker_of_this_process()
        yield api


@pytest.fixture
def simulator(api: RunningSimulator) -> RunningSimulator:
    """Lend the API, which answers well, to one test."""
    api.set_script("")
    return api


def _job(job_id: str) -> dict[str, Any]:
    return worker_of_this_process().store.reports.job(job_id)


def test_five_hundred_agents_of_one_process_each_have_their_answer_and_its_cost(simulator: RunningSimulator) -> None:
    before = len(simulator.purchases())

    async def agents() -> list[Any]:
        client = AsyncChainClient(task=None)
        return await asyncio.gather(*(client.messages.create(**_REQUEST) for _ in range(500)))

    messages = asyncio.run(agents())
    purchases = simulator.purchases()[before:]
    bought = Counter(purchase["job"] for purchase in purchases if purchase["status"] == 200)
    assert bought == dict.fromkeys((message.job_id for message in messages), 1)
    assert len(bought) == 500
    assert all(message.cost_usd > Decimal(0) for message in messages)


def test_a_hundred_threads_share_the_loop(simulator: RunningSimulator) -> None:
    simulator.set_script("[[rules]]\nmodel = 'opus'\nanswer = 529")
    with ThreadPoolExecutor(100) as threads:
        results = list(threads.map(lambda number: call_with_fallback(f"Question {number}"), range(100)))
    assert Counter(result["model_used"] for result in results) == {SONNET: 100}


def test_a_long_answer_is_streamed_to_callers_without_a_queue_too(simulator: RunningSimulator) -> None:
    simulator.set_script("[[rules]]\nmodel = 'opus'\nanswer = 'cut'")

    def called() -> tuple[Any, ...] | None:
        result = asyncio.run(acall_with_fallback("Write a long report.", max_tokens=32_000))
        attempts = worker_of_this_process().store.reports.attempts(result["job_id"])
        return (result, *attempts) if len(attempts) == 2 else None  # else the primary rests from the tests before

    result, broken, answered = eventually(called, within_s=60, because="the primary is called")
    assert (result["model_used"], result["estimated_cost_usd"], answered["cost_status"]) == (SONNET, None, "exact")
    assert (broken["outcome"], broken["cost_status"], broken["input_tokens"] > 0) == ("cut", "at_least", True)
    assert 0 < broken["least_nano_usd"] < broken["reserved_nano_usd"]


def test_an_async_child_is_one_deeper(simulator: RunningSimulator) -> None:
    simulator.set_script("")

    async def asked() -> tuple[Any, Any]:
        client = AsyncChainClient()
        above = await client.messages.create(**_REQUEST)
        raw = await client.child(above).messages.with_raw_response.create(**_REQUEST)
        return above, raw

    above, raw = asyncio.run(asked())
    assert _job(raw.parse().job_id)["parent"] == above.job_id
    assert raw.headers["x-stepdown-job"] == raw.parse().job_id


def test_an_error_of_the_chain_is_the_callers(simulator: RunningSimulator) -> None:
    simulator.set_script("[[rules]]\nanswer = 400")
    with pytest.raises(ChainExhaustedError, match="bad_request"):
        asyncio.run(acall_with_fallback("Summarize."))


def test_the_call_of_a_caller_that_is_cancelled_ends_in_the_ledger(simulator: RunningSimulator) -> None:
    simulator.set_script("[[rules]]\nanswer = 'slow'\ndelay_s = 1")
    before = len(simulator.purchases())

    async def given_up() -> None:
        async with asyncio.timeout(0.5):
            await acall_with_fallback("Summarize slowly.")

    with pytest.raises(TimeoutError):
        asyncio.run(given_up())
    eventually(lambda: len(simulator.purchases()) == before + 1, within_s=20, because="the API has answered")
    job_id = simulator.purchases()[-1]["job"]
    eventually(lambda: _job(job_id)["state"] == "succeeded", within_s=20, because="the answer is kept")
