"""The provider's own SDK, unchanged but for its base URL, against `stepdown serve` with a real worker behind it."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from http.client import HTTPConnection
from typing import Any

import anthropic
import pytest
from anthropic.types import Message, MessageParam
from anthropic.types.beta import BetaUserMessageParam
from anthropic.types.messages import MessageBatch

from tests.support.eventually import eventually
from tests.support.sites.serve_site import Site, open_site, own_id, requests
from tests.support.sites.worker_site import API_KEY, ENGINES, HAIKU, OPUS, SONNET

SALT: list[MessageParam] = [{"role": "user", "content": "Why is the sea salt?"}]


@pytest.fixture(scope="module", params=ENGINES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run a worker and a server for all tests of this file."""
    with open_site(request, tmp_path_factory.mktemp("serve")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _no_faults(site: Site) -> None:
    site.plant.simulator.set_script("")


def test_a_message_comes_back_with_its_depth_and_its_cost(site: Site) -> None:
    raw = site.client.messages.with_raw_response.create(model=OPUS, max_tokens=100, messages=SALT)
    message = raw.parse()
    assert isinstance(message, Message)
    assert (message.model, message.stop_reason, message.content[0].type) == (OPUS, "end_turn", "text")
    assert raw.headers["x-stepdown-fallback-depth"] == "0"
    assert Decimal(raw.headers["x-stepdown-cost-usd"]) > 0
    assert raw.headers["request-id"].startswith("req_")


def test_a_message_sent_again_under_its_key_is_the_same_job(site: Site) -> None:
    def ask(content: str, key: str | None) -> tuple[str, str]:
        headers = {} if key is None else {"idempotency-key": key}
        asked: list[MessageParam] = [{"role": "user", "content": content}]
        create = site.client.messages.with_raw_response.create
        raw = create(model=HAIKU, max_tokens=20, messages=asked, extra_headers=headers)
        return raw.headers["x-stepdown-job"], raw.parse().id

    with ThreadPoolExecutor(6) as pool:
        ((job, message),) = {*pool.map(lambda _: ask("Explain magma.", "magma/1"), range(6))}
    assert [bought["job"] for bought in site.plant.simulator.purchases()].count(job) == 1
    for key in ("magma/2", None):
        assert ask("Explain magma.", key)[1] != message
    with pytest.raises(anthropic.ConflictError, match="idempotency-key: is that of another request") as refused:
        ask("Explain lava.", "magma/1")
    assert refused.value.response.headers["x-should-retry"] == "false"


def test_a_message_steps_down_when_its_model_is_overloaded(site: Site) -> None:
    site.plant.simulator.set_script(f'[[rules]]\nmodel = "{OPUS}"\nprompt_contains = "tide"\nanswer = 529')
    asked: list[MessageParam] = [{"role": "user", "content": "Why is there a tide?"}]
    raw = site.client.messages.with_raw_response.create(model=OPUS, max_tokens=100, messages=asked)
    assert (raw.parse().model, raw.headers["x-stepdown-fallback-depth"]) == (SONNET, "1")


def test_the_model_in_the_request_names_where_it_starts(site: Site) -> None:
    for name in (HAIKU, "claude-haiku-4-5"):
        assert site.client.messages.create(model=name, max_tokens=100, messages=SALT).model == HAIKU


def test_a_stream_tells_the_same_message_in_events(site: Site) -> None:
    events = list(site.client.messages.create(model=SONNET, max_tokens=100, messages=SALT, stream=True))
    kinds = [event.type for event in events]
    assert (kinds[0], kinds[1], kinds[-2:]) == (
        "message_start",
        "content_block_start",
        ["message_delta", "message_stop"],
    )
    with site.client.messages.stream(model=SONNET, max_tokens=100, messages=SALT) as stream:
        final = stream.get_final_message()
    assert final.usage.output_tokens > 0
    assert final.stop_reason == "end_turn"
    assert final.content[0].type == "text"
    assert final.content[0].text


def test_a_message_batch_goes_as_the_providers_example_does(site: Site) -> None:
    created = site.client.messages.batches.create(requests=requests("salt", "tides", "waves"))
    counts = created.request_counts  # a worker may have answered some by now
    assert (created.type, counts.processing + counts.succeeded) == ("message_batch", 3)
    ended = site.ended(created.id)
    assert (ended.request_counts.succeeded, ended.request_counts.processing) == (3, 0)
    assert ended.results_url == f"{site.url}/v1/messages/batches/{created.id}/results"
    results = {line.custom_id: line.result for line in site.client.messages.batches.results(created.id)}
    assert set(results) == {"doc-salt", "doc-tides", "doc-waves"}
    for result in results.values():
        assert result.type == "succeeded"
        assert isinstance(result.message, Message)


def test_batches_are_listed_in_pages_the_newest_first(site: Site) -> None:
    made = [site.client.messages.batches.create(requests=requests(f"page-{number}")).id for number in range(3)]
    page = site.client.messages.batches.list(limit=2)
    assert ([one.id for one in page.data], page.has_more) == (made[:0:-1], True)
    following = page.get_next_page()
    assert (following.data[0].id, following.first_id) == (made[0], made[0])
    before = site.client.messages.batches.list(limit=1, before_id=made[0])
    assert ([one.id for one in before.data], before.has_more) == ([made[1]], True)
    walked = [one.id for one in site.client.messages.batches.list(limit=1)]
    assert walked[:3] == made[::-1]


def test_a_batch_sent_again_is_another_but_under_its_key(site: Site) -> None:
    create = site.client.messages.batches.create
    key = {"idempotency-key": "gravity/1"}
    first = create(requests=requests("gravity", "light"), extra_headers=key)
    site.ended(first.id)
    assert create(requests=requests("gravity", "light"), extra_headers=key).id == first.id
    assert site.purchases_of(first.id) == 2
    others = [create(requests=requests("gravity", "light")).id for _ in range(2)]
    assert len({first.id, *others}) == 3
    with pytest.raises(anthropic.ConflictError, match="idempotency-key: is that of another batch"):
        create(requests=requests("light", "sound"), extra_headers=key)


def test_the_same_batch_sent_many_times_at_once_under_a_key_is_one_batch(site: Site) -> None:
    async def all_at_once() -> list[MessageBatch]:
        async with anthropic.AsyncAnthropic(base_url=site.url, api_key="any", max_retries=0) as client:
            create = client.messages.batches.create
            key = {"idempotency-key": "rain/1"}
            return await asyncio.gather(
                *(create(requests=requests("rain", "snow"), extra_headers=key) for _ in range(8))
            )

    ids = {batch.id for batch in asyncio.run(all_at_once())}
    assert len(ids) == 1
    site.ended(*ids)
    assert site.purchases_of(*ids) == 2


def test_what_is_cancelled_ends_and_sent_again_it_buys_only_what_is_missing(site: Site) -> None:
    site.plant.simulator.set_script('[[rules]]\nprompt_contains = "erosion"\nanswer = "ok"\ndelay_s = 3.0')
    key = {"idempotency-key": "erosion/1"}
    created = site.client.messages.batches.create(requests=requests("erosion", "sand"), extra_headers=key)
    own = site.plant.producer.batch(own_id(created.id))
    eventually(lambda: own.progress().succeeded == 1, within_s=20, because="the quick one is answered")
    assert site.client.messages.batches.cancel(created.id).cancel_initiated_at is not None
    assert site.ended(created.id).request_counts.to_dict().items() >= {"canceled": 1, "succeeded": 1}.items()
    kinds = {line.custom_id: line.result.type for line in site.client.messages.batches.results(created.id)}
    assert kinds == {"doc-erosion": "canceled", "doc-sand": "succeeded"}
    site.plant.simulator.set_script("")
    again = site.client.messages.batches.create(requests=requests("erosion", "sand"), extra_headers=key)
    assert again.id == created.id
    assert site.ended(created.id).request_counts.succeeded == 2
    (sand,) = (row["id"] for row in site.plant.jobs(own) if row["prompt_id"] == "doc-sand")
    assert [bought["job"] for bought in site.plant.purchases(own)].count(sand) == 1


def test_an_ended_batch_is_deleted_with_its_text_and_its_cost_stays(site: Site) -> None:
    created = site.client.messages.batches.create(requests=requests("granite"))
    site.ended(created.id)
    own = site.plant.producer.batch(own_id(created.id))
    cost = own.progress().cost_usd
    assert site.client.messages.batches.delete(created.id).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError):
        site.client.messages.batches.retrieve(created.id)
    assert own.progress().cost_usd == cost > 0
    assert [(row["params"], row["purged_at"] is not None) for row in site.plant.jobs(own)] == [({}, True)]


def test_an_open_batch_is_not_deleted(site: Site) -> None:
    site.plant.simulator.set_script('[[rules]]\nprompt_contains = "basalt"\nanswer = "ok"\ndelay_s = 2.0')
    created = site.client.messages.batches.create(requests=requests("basalt"))
    with pytest.raises(anthropic.BadRequestError, match="cancel it first"):
        site.client.messages.batches.delete(created.id)
    with pytest.raises(anthropic.AnthropicError, match="No `results_url`"):
        site.client.messages.batches.results(created.id)


def test_what_failed_is_told_as_the_provider_would(site: Site) -> None:
    site.plant.simulator.set_script('[[rules]]\nprompt_contains = "nonsense"\nanswer = 400')
    nonsense: list[MessageParam] = [{"role": "user", "content": "nonsense"}]
    with pytest.raises(anthropic.BadRequestError) as refused:
        site.client.messages.create(model=OPUS, max_tokens=10, messages=nonsense)
    assert refused.value.response.headers["x-should-retry"] == "false"
    created = site.client.messages.batches.create(requests=requests("nonsense"))
    assert site.ended(created.id).request_counts.errored == 1
    (line,) = site.client.messages.batches.results(created.id)
    assert line.result.type == "errored"
    assert line.result.error.error.type == "invalid_request_error"


def test_a_model_that_is_not_in_the_chain_is_not_found_and_the_chain_is_named(site: Site) -> None:
    with pytest.raises(anthropic.NotFoundError, match=HAIKU):
        site.client.messages.create(model="claude-2", max_tokens=10, messages=SALT)


def test_a_request_that_is_wrong_errs_alone_in_its_batch(site: Site) -> None:
    wrong: list[Any] = [*requests("salt"), *requests("tide", model="claude-2"), {"custom_id": "empty", "params": {}}]
    wrong[1]["custom_id"] = "unknown-model"
    created = site.client.messages.batches.create(requests=wrong)
    ended = site.ended(created.id)
    assert (ended.request_counts.succeeded, ended.request_counts.errored) == (1, 2)
    results = {line.custom_id: line.result for line in site.client.messages.batches.results(created.id)}
    errors = {name: result.error.error for name, result in results.items() if result.type == "errored"}
    assert {name: error.type for name, error in errors.items()} == {
        "unknown-model": "not_found_error",
        "empty": "invalid_request_error",
    }
    assert "params.model: 'claude-2' is not in this server's chain" in errors["unknown-model"].message
    assert site.purchases_of(created.id) == 1
    site.plant.producer.store.job_actions.retry(deadline_s=60, batch_id=own_id(created.id))
    assert site.ended(created.id).request_counts.errored == 2


def test_a_cap_that_nothing_fits_under_is_a_billing_error(site: Site) -> None:
    with pytest.raises(anthropic.APIStatusError) as refused:
        site.client.messages.create(
            model=OPUS, max_tokens=1000, messages=SALT, extra_headers={"x-stepdown-max-cost-usd": "0.000001"}
        )
    assert (refused.value.status_code, refused.value.type) == (402, "billing_error")


def test_the_async_client_asks_many_at_once(site: Site) -> None:
    async def many() -> list[Message]:
        async with anthropic.AsyncAnthropic(base_url=site.url, api_key="any", max_retries=0) as client:
            create = client.messages.create
            return await asyncio.gather(*(create(model=HAIKU, max_tokens=20, messages=SALT) for _ in range(20)))

    assert {message.model for message in asyncio.run(many())} == {HAIKU}


def test_the_async_client_follows_a_batch_to_its_end(site: Site) -> None:
    async def follow() -> list[str]:
        async with anthropic.AsyncAnthropic(base_url=site.url, api_key="any", max_retries=0) as client:
            batches = client.messages.batches
            created = await batches.create(requests=requests("clay", "silt"))
            assert created.id in [batch.id async for batch in batches.list(limit=5)]
            await asyncio.to_thread(site.ended, created.id)
            kinds: list[str] = [line.result.type async for line in await batches.results(created.id)]
            await batches.delete(created.id)
            return kinds

    assert asyncio.run(follow()) == ["succeeded", "succeeded"]


def test_the_sdks_beta_names_reach_the_same_api(site: Site) -> None:
    beta, hello = site.client.beta.messages, BetaUserMessageParam(role="user", content="Hello.")
    assert beta.create(model=HAIKU, max_tokens=20, messages=[hello]).model == HAIKU
    created = beta.batches.create(
        requests=[{"custom_id": "loam", "params": {"model": HAIKU, "max_tokens": 20, "messages": [hello]}}]
    )
    site.ended(created.id)
    assert [line.result.type for line in beta.batches.results(created.id)] == ["succeeded"]


def test_plain_curl_will_do(site: Site) -> None:
    body = json.dumps({"model": HAIKU, "max_tokens": 20, "messages": SALT})
    response = subprocess.run(
        ["curl", "-sS", "-H", "content-type: application/json", "-d", body, f"{site.url}/v1/messages"],
        check=True,
        capture_output=True,
        timeout=30,
    )
    assert json.loads(response.stdout)["type"] == "message"


def test_what_is_too_large_is_refused_before_it_is_read(site: Site) -> None:
    for path, size in (("/v1/messages", 33), ("/v1/messages/batches", 257)):
        with closing(HTTPConnection(site.url.removeprefix("http://"), timeout=10)) as connection:
            connection.putrequest("POST", path)
            connection.putheader("content-length", str(size * 1024 * 1024))
            connection.endheaders()
            refused = connection.getresponse()
            assert (refused.status, json.load(refused)["error"]["type"]) == (413, "request_too_large")


def test_what_is_asked_and_by_which_token_is_in_no_log(site: Site) -> None:
    secret: list[MessageParam] = [{"role": "user", "content": "A canary-of-a-prompt?"}]
    headers = {"x-api-key": "canary-of-a-token"}
    site.client.messages.create(model=HAIKU, max_tokens=20, messages=secret, extra_headers=headers)
    with pytest.raises(anthropic.BadRequestError):
        site.client.messages.create(model=HAIKU, max_tokens=-1, messages=secret, extra_headers=headers)
    logs = site.log.read_text(encoding="utf-8") + site.plant.worker_log.read_text(encoding="utf-8")
    assert "serving http" in logs
    assert "canary-of-a" not in logs.replace(API_KEY, "")
