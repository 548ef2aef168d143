"""One request to the API, whatever the network does with it: never an exception, never late, never sent twice."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest

from models.chain.deadline import Deadline
from producer.simulator.process import RunningSimulator, running_simulator
from tests.support.eventually import eventually
from tests.support.servers.ports import free_port
from tests.support.sites.blocking_provider import BlockingProvider
from tests.support.sites.worker_site import OPUS
from tests.support.threads_at_once import at_once
from worker.provider.reply import Broken, Received

_PARAMS = {"max_tokens": 100, "messages": [{"role": "user", "content": "Ten harbours were dredged in spring."}]}
_DEADLINE_S = 1


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    """Run one for all tests of this file; each sets its own script."""
    with running_simulator() as running:
        yield running


@contextmanager
def _open(url: str) -> Iterator[BlockingProvider]:
    provider = BlockingProvider(api_key="k", base_url=url, connect_timeout_s=5)
    with closing(provider):
        yield provider


@pytest.fixture
def provider(simulator: RunningSimulator) -> Iterator[BlockingProvider]:
    """Open one for one test."""
    with _open(simulator.url) as provider:
        yield provider


def _call(
    provider: BlockingProvider, *, attempt_id: str = "attempt", job_id: str = "job", after_s: float = _DEADLINE_S
) -> Received | Broken:
    deadline = Deadline(after_s=after_s, reason="CALL_TIMEOUT_S")
    return provider.call(OPUS, _PARAMS, attempt_id=attempt_id, job_id=job_id, deadline=deadline)


def test_the_request_carries_the_attempt_and_the_job(simulator: RunningSimulator, provider: BlockingProvider) -> None:
    simulator.set_script("")
    end = _call(provider, attempt_id="attempt-7", job_id="job-3")
    assert isinstance(end, Received)
    assert end.status == 200
    purchase = simulator.purchases()[-1]
    assert (purchase["attempt"], purchase["job"], purchase["requested_model"]) == ("attempt-7", "job-3", OPUS)
    assert end.headers["request-id"] == purchase["request_id"]
    assert purchase["message_id"].encode() in end.body


@pytest.mark.parametrize("rule", ["answer = 'hang'", "answer = 'drip'\nevery_s = 0.02", "answer = 'ok'\ndelay_s = 60"])
def test_a_call_without_an_end_is_cut_at_the_deadline(
    simulator: RunningSimulator, provider: BlockingProvider, rule: str
) -> None:
    simulator.set_script(f"[[rules]]\n{rule}")
    before = len(simulator.purchases())
    end = _call(provider)
    assert isinstance(end, Broken)
    assert (end.how, end.detail) == ("timed_out", "no complete reply within 1 s (CALL_TIMEOUT_S)")
    assert 1000 * _DEADLINE_S <= end.latency_ms <= 1000 * (_DEADLINE_S + 1)
    assert len(simulator.purchases()) == before + 1
    eventually(lambda: simulator.stats()["in_flight"] == 0, within_s=5, because="the connection is given up")


def test_each_call_has_its_own_deadline(simulator: RunningSimulator, provider: BlockingProvider) -> None:
    simulator.set_script("[[rules]]\nanswer = 'slow'\ndelay_s = 1.5")
    ends = at_once(2, lambda number: _call(provider, after_s=(0.5, 10)[number]))
    assert [type(end) for end in ends] == [Broken, Received]


@pytest.mark.parametrize("word", ["reset_before", "reset_after", "cut"])
def test_a_connection_that_breaks_after_the_request_has_left_is_cut_and_not_asked_again(
    simulator: RunningSimulator, provider: BlockingProvider, word: str
) -> None:
    simulator.set_script(f"[[rules]]\nanswer = '{word}'")
    before = len(simulator.purchases())
    for number in (1, 2):  # on a fresh connection, and after a broken one
        end = _call(provider)
        assert isinstance(end, Broken)
        assert end.how == "cut"
        assert len(simulator.purchases()) == before + number


def test_a_connection_that_is_refused_is_unreachable() -> None:
    with _open(f"http://127.0.0.1:{free_port()}") as provider:
        end = _call(provider)
    assert isinstance(end, Broken)
    assert end.how == "unreachable"


def test_a_name_nobody_knows_is_unreachable() -> None:
    with _open("http://nobody.invalid") as provider:
        end = _call(provider)
    assert isinstance(end, Broken)
    assert end.how == "unreachable"


_STATUSES = [400, 401, 402, 403, 404, 408, 413, 429, 500, 502, 503, 504, 529]


@pytest.mark.parametrize("status", _STATUSES)
def test_an_error_comes_back_whole_after_one_request(
    simulator: RunningSimulator, provider: BlockingProvider, status: int
) -> None:
    retry_after = "retry_after_s = 0" if status in {429, 500, 502, 503, 529} else ""
    simulator.set_script(f"[[rules]]\nanswer = {status}\n{retry_after}")
    before = len(simulator.purchases())
    end = _call(provider)
    assert isinstance(end, Received)
    assert (end.status, end.headers["content-type"]) == (status, "application/json")
    assert b'"type": "error"' in end.body
    assert end.headers.get("retry-after") == ("0" if retry_after else None)
    assert len(simulator.purchases()) == before + 1


def test_five_hundred_calls_at_once_are_all_answered(simulator: RunningSimulator) -> None:
    simulator.set_script("[[rules]]\nanswer = 'slow'\ndelay_s = 1")
    before = len(simulator.purchases())
    with _open(simulator.url) as provider:
        ends = at_once(500, lambda number: _call(provider, attempt_id=f"a{number}", after_s=60))
    assert [end for end in ends if not isinstance(end, Received) or end.status != 200] == []
    attempts = [purchase["attempt"] for purchase in simulator.purchases()[before:]]
    assert sorted(attempts) == sorted(f"a{number}" for number in range(500))


def test_no_call_waits_for_a_connection_of_another(simulator: RunningSimulator) -> None:
    simulator.set_script("[[rules]]\nanswer = 'hang'")
    calls = 150  # the pool's own default is a hundred

    def watch_or_call(number: int, provider: BlockingProvider) -> Broken | Received | None:
        if number < calls:
            return _call(provider, after_s=12)
        all_left = "every request has left before any call has ended"
        eventually(lambda: simulator.stats()["in_flight"] == calls, within_s=10, because=all_left)
        return None

    with _open(simulator.url) as patient:
        ends = at_once(calls + 1, lambda number: watch_or_call(number, patient))
    assert [end.how for end in ends if isinstance(end, Broken)] == ["timed_out"] * calls


@pytest.mark.parametrize("key", ["k\n", "k\x01"])
def test_a_key_that_no_header_can_hold_is_unreachable_for_nothing_is_sent(
    simulator: RunningSimulator, key: str
) -> None:
    before = len(simulator.purchases())
    spoiled = BlockingProvider(api_key=key, base_url=simulator.url, connect_timeout_s=5)
    with closing(spoiled) as provider:
        end = _call(provider)
    assert isinstance(end, Broken)
    assert end.how == "unreachable"
    assert len(simulator.purchases()) == before


def test_closing_leaves_no_thread_and_no_open_call(simulator: RunningSimulator) -> None:
    simulator.set_script("")
    before = set(threading.enumerate())
    with ExitStack() as until_end:
        for _ in range(3):
            by_name = simulator.url.replace("127.0.0.1", "localhost")  # looked up in a thread
            assert isinstance(_call(until_end.enter_context(_open(by_name))), Received)
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) == before


def test_what_a_model_takes_is_asked_for_nothing(simulator: RunningSimulator, provider: BlockingProvider) -> None:
    simulator.set_script("")
    reported = provider.facts(OPUS)
    assert reported is not None
    assert (reported["id"], type(reported["max_tokens"])) == (OPUS, int)
    assert provider.facts("claude-nobody-1") == {}


def test_an_api_that_does_not_answer_has_said_nothing_of_a_model() -> None:
    with _open(f"http://127.0.0.1:{free_port()}") as provider:
        assert provider.facts(OPUS) is None
