"""The SDK's stream helper through a real server and a real worker: the provider's events arrive as they come."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import pytest
import redis.asyncio
from anthropic.types import Message, MessageParam

from models.job.answer import Answer
from models.outcome import State
from models.queue.broker import server_pid
from models.queue.live_events import ListenedJobs
from models.queue.redis_keys import LISTENED
from models.settings import Settings, load_settings
from producer.client import Producer
from producer.web.app import app_over
from producer.web.http import live_streams
from tests.support.eventually import eventually
from tests.support.servers.valkey import running_valkey
from tests.support.sites.worker_site import (
    ENGINES,
    HAIKU,
    OPUS,
    SONNET,
    Plant,
    forget_faults,
    idle_plant,
    running_server,
    running_worker,
)

_SALT: list[MessageParam] = [{"role": "user", "content": "Why is the sea salt, and why are rivers sweet? " * 3}]
_SLOW = "[[rules]]\nanswer = 'slow'\ndelay_s = 4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A worker and a server, with a client of the server."""

    plant: Plant
    client: anthropic.Anthropic
    worker_pid: int

    def answer(self, job_id: str) -> Answer:
        """Read the present state of a job."""
        batch_id = self.plant.producer.store.reports.job(job_id)["batch_id"]
        (answer,) = self.plant.producer.store.reports.answers(batch_id)
        return answer

    def ended(self, job_id: str) -> Answer:
        """Wait for the end of a job."""
        eventually(lambda: self.answer(job_id).finished_at, within_s=60, because="the job ends by itself")
        return self.answer(job_id)


@contextmanager
def _site(request: pytest.FixtureRequest, folder: Path, **variables: str) -> Iterator[Site]:
    with ExitStack() as until_end:
        plant = until_end.enter_context(idle_plant(request, folder, **variables))
        pid = until_end.enter_context(running_worker(plant.variables, plant.worker_log))
        url = until_end.enter_context(running_server(plant.variables, folder / "serve.log"))
        client = until_end.enter_context(anthropic.Anthropic(base_url=url, api_key="any-will-do-here", max_retries=0))
        yield Site(plant=plant, client=client, worker_pid=pid)


@pytest.fixture(scope="module", params=ENGINES)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run a worker and a server for all tests that kill nothing."""
    with _site(request, tmp_path_factory.mktemp("live")) as opened:
        yield opened


@pytest.fixture
def site(shared: Site) -> Site:
    """Lend the site without the script and the faults of the test before."""
    shared.plant.simulator.set_script("")
    forget_faults(shared.plant.variables["REDIS_URL"])
    return shared


def _asked(model: str = OPUS, **more: Any) -> dict[str, Any]:
    return {"model": model, "max_tokens": 500, "messages": _SALT, **more}


def _own(message: Message) -> tuple[Any, ...]:
    content = [block.to_dict() for block in message.content]
    return message.id, message.model, message.stop_reason, message.usage.output_tokens, content


def test_a_client_reads_text_while_the_provider_still_writes(site: Site) -> None:
    site.plant.simulator.set_script(_SLOW)
    with site.client.messages.stream(**_asked()) as stream:
        job_id = stream.response.headers["x-stepdown-job"]
        pieces = [next(stream.text_stream)]
        assert site.answer(job_id).state is State.RUNNING, "the first text is there before the end of the call"
        pieces += stream.text_stream
        final = stream.get_final_message()
    answer = site.ended(job_id)
    assert answer.message is not None
    assert len(pieces) > 1
    assert "".join(pieces) == answer.text
    assert _own(final) == _own(Message.model_validate(answer.message))
    assert [bought["job"] for bought in site.plant.simulator.purchases()].count(job_id) == 1


def test_a_fallback_before_the_first_delta_is_one_stream_of_the_next_model(site: Site) -> None:
    site.plant.simulator.set_script(f"[[rules]]\nmodel = '{OPUS}'\nanswer = 'error_event'\nafter_events = 1\n{_SLOW}")
    with site.client.messages.stream(**_asked()) as stream:
        job_id = stream.response.headers["x-stepdown-job"]
        next(stream.text_stream)
        assert site.answer(job_id).state is State.RUNNING
        final = stream.get_final_message()
    assert (final.model, final.content[0].type) == (SONNET, "text")
    assert site.ended(job_id).text == stream.get_final_text()


@pytest.mark.parametrize(
    ("answer", "kind"), [("error_event", "overloaded_error"), ("cut", "api_error"), ("reset_after", "api_error")]
)
def test_a_call_that_breaks_after_the_first_delta_ends_the_stream_with_an_error(
    site: Site, answer: str, kind: str
) -> None:
    site.plant.simulator.set_script(f"[[rules]]\nmodel = '{OPUS}'\nanswer = '{answer}'\nafter_events = 4")
    with site.client.messages.stream(**_asked()) as stream:
        job_id = stream.response.headers["x-stepdown-job"]
        assert next(stream.text_stream)
        with pytest.raises(anthropic.APIStatusError) as broken:
            stream.until_done()
    assert isinstance(broken.value.body, dict)
    assert broken.value.body["error"]["type"] == kind
    ended = site.ended(job_id)
    assert (ended.state, ended.model) == (State.SUCCEEDED, SONNET), "the job's truth is in the ledger"


def test_a_repeat_under_the_same_key_waits_for_the_answer_that_the_first_reads(site: Site) -> None:
    site.plant.simulator.set_script(_SLOW)
    asked = _asked(extra_headers={"idempotency-key": "salt/1"})
    with site.client.messages.stream(**asked) as first, ThreadPoolExecutor(1) as pool:
        next(first.text_stream)

        def repeat() -> Message:
            with site.client.messages.stream(**asked) as second:
                return second.get_final_message()

        repeated = pool.submit(repeat)
        assert _own(first.get_final_message()) == _own(repeated.result(60))
    job_id = first.response.headers["x-stepdown-job"]
    assert [bought["job"] for bought in site.plant.simulator.purchases()].count(job_id) == 1


def test_an_answer_that_a_check_may_refuse_is_no_live_stream(site: Site) -> None:
    """A caller that has read half of a refused answer could not take the half back."""
    site.plant.simulator.set_script(f"[[rules]]\nmodel = '{HAIKU}'\nanswer = 'max_tokens'")
    asked = _asked(model=HAIKU, extra_headers={"x-stepdown-task": "summarize"})
    with site.client.messages.stream(**asked) as stream:
        final = stream.get_final_message()
    assert final.stop_reason == "end_turn"


def test_the_jobs_are_announced_at_the_present_address_of_redis(redis_url: str) -> None:
    """An embedded broker that starts again has another port and another password."""
    addresses = ["redis://stepdown:old@127.0.0.1:1/0", None, redis_url]

    async def announce() -> list[str]:
        jobs = ListenedJobs(lambda: addresses[0])
        async with redis.asyncio.Redis.from_url(redis_url) as client, client.pubsub() as pubsub:
            await pubsub.subscribe(LISTENED)
            while addresses:
                await jobs.announce(f"job-{len(addresses)}")
                await jobs.announce(f"again-{len(addresses)}")
                del addresses[0]
            await jobs.close()
            replies = [await pubsub.get_message(timeout=5) for _ in range(3)]
        return [json.loads(message["data"])["job"] for message in replies if message and message["type"] == "message"]

    assert asyncio.run(announce()) == ["job-1", "again-1"]


def test_only_a_redis_that_answers_makes_a_silent_worker_lost(
    monkeypatch: pytest.MonkeyPatch, sqlite_url: str, tmp_path: Path
) -> None:
    monkeypatch.setattr(live_streams, "ALIVE_EVERY_S", 0.05)

    async def watch(settings: Settings, producer: Producer, pid: int) -> list[bool]:
        app = app_over(producer, settings)
        async with app.router.lifespan_context(app):
            await asyncio.sleep(1)  # the subscription deafens open streams
            live = app.state.server.live
            stream = await live.open("job")
            os.kill(pid, signal.SIGSTOP)
            try:
                delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Salt"}}
                live.receive(json.dumps({"job": "job", "attempt": "a", "number": 1, "event": delta}))
                await asyncio.sleep(2)
                lost = [stream.is_lost()]
            finally:
                os.kill(pid, signal.SIGCONT)
            await asyncio.to_thread(
                eventually, stream.is_lost, within_s=30, because="Redis answers, and no worker does"
            )
            return [*lost, stream.is_lost()]

    with running_valkey(tmp_path) as url:
        settings = load_settings(env_file=None, database_url=sqlite_url, state_dir=tmp_path, redis_url=url)
        pid = server_pid(url)
        assert pid is not None
        with Producer(settings) as producer:
            assert asyncio.run(watch(settings, producer, pid)) == [False, True]


@pytest.fixture(params=["sqlite"])
def doomed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Run a worker that is to be killed. Its job is bought again."""
    with _site(request, tmp_path, LEASE_S="3", HOLD_ABOVE_USD="100") as opened:
        yield opened


def test_a_worker_that_is_killed_in_the_middle_ends_the_stream_with_an_error(doomed: Site) -> None:
    doomed.plant.simulator.set_script(_SLOW.replace("delay_s = 4", "delay_s = 20"))
    with doomed.client.messages.stream(**_asked()) as stream:
        job_id = stream.response.headers["x-stepdown-job"]
        assert next(stream.text_stream)
        os.kill(doomed.worker_pid, signal.SIGKILL)
        with pytest.raises(anthropic.APIStatusError) as broken:
            stream.until_done()
    assert isinstance(broken.value.body, dict)
    assert broken.value.body["error"]["type"] == "api_error"
    assert job_id in broken.value.body["error"]["message"]
    doomed.plant.simulator.set_script("")
    with running_worker(doomed.plant.variables, doomed.plant.worker_log):
        assert doomed.ended(job_id).state is State.SUCCEEDED
