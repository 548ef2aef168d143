"""The official SDK buys at half price: create, list, retrieve, cancel, delete and results as the API does them."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import urlopen

import anthropic
import pytest
from anthropic import Anthropic

from producer.simulator.process import running_simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anthropic.types.messages import MessageBatch

    from producer.simulator.process import RunningSimulator

OPUS, HAIKU = "claude-opus-4-7", "claude-haiku-4-5"
_AT_ONCE = "[batches]\ntakes_s = 0\n"
_NEVER = "[batches]\nnever_ends = true\ncancel_s = 0\n"


@pytest.fixture
def simulator() -> Iterator[RunningSimulator]:
    """Give each test message batches of its own."""
    with running_simulator(script=_AT_ONCE) as running:
        yield running


@pytest.fixture
def client(simulator: RunningSimulator) -> Iterator[Anthropic]:
    """Build a client that never retries by itself."""
    with Anthropic(api_key="key", base_url=simulator.url, max_retries=0) as api:
        yield api


def _params(text: str = "Three bridges were closed before dawn.", **changes: Any) -> dict[str, Any]:
    return {"model": OPUS, "max_tokens": 100, "messages": [{"role": "user", "content": text}], **changes}


def _create(client: Anthropic, *params: dict[str, Any], count: int = 3) -> MessageBatch:
    each = params or tuple(_params(f"{number} bridges were closed before dawn.") for number in range(count))
    requests: Any = [{"custom_id": f"item-{number}", "params": one} for number, one in enumerate(each)]
    return client.messages.batches.create(requests=requests)


def _ended(client: Anthropic, batch_id: str) -> MessageBatch:
    end = time.monotonic() + 20
    while (batch := client.messages.batches.retrieve(batch_id)).processing_status != "ended":
        assert time.monotonic() < end, batch
        time.sleep(0.02)
    return batch


def _results(client: Anthropic, batch_id: str) -> dict[str, Any]:
    return {line.custom_id: line.result for line in client.messages.batches.results(batch_id)}


def test_a_message_batch_goes_from_in_progress_to_its_results(client: Anthropic) -> None:
    created = _create(client)
    assert created.id.startswith("msgbatch_")
    assert (created.type, created.processing_status) == ("message_batch", "in_progress")
    assert created.request_counts.to_dict() == {
        "processing": 3,
        "succeeded": 0,
        "errored": 0,
        "canceled": 0,
        "expired": 0,
    }
    assert created.expires_at - created.created_at == timedelta(days=1)
    assert (created.results_url, created.ended_at, created.cancel_initiated_at) == (None, None, None)
    ended = _ended(client, created.id)
    assert (ended.request_counts.processing, ended.request_counts.succeeded) == (0, 3)
    assert ended.results_url is not None
    assert ended.results_url.endswith(f"/v1/messages/batches/{created.id}/results")
    assert ended.ended_at is not None
    results = _results(client, created.id)
    assert sorted(results) == ["item-0", "item-1", "item-2"]
    assert "1 bridges were closed" in results["item-1"].message.content[0].text
    assert results["item-1"].message.usage.service_tier == "batch"


def test_results_come_in_another_order_than_the_requests(client: Anthropic) -> None:
    batch = _create(client, count=20)
    _ended(client, batch.id)
    order = list(_results(client, batch.id))
    asked = [f"item-{number}" for number in range(20)]
    assert order != asked
    assert sorted(order) == sorted(asked)


def test_every_kind_of_token_costs_half_and_a_search_the_whole(simulator: RunningSimulator, client: Anthropic) -> None:
    simulator.set_script(_AT_ONCE + "[[rules]]\nanswer = 'ok'\nweb_searches = 2")
    cached = {"type": "text", "text": "River. " * 2_000, "cache_control": {"type": "ephemeral"}}
    params = _params(system=[cached], model="claude-sonnet-4-6")
    client.messages.create(**params)
    simulator.set_script(_AT_ONCE + "hits_5m = 1\n[[rules]]\nanswer = 'ok'\nweb_searches = 2")
    batch = _create(client, params, params | {"system": [{**cached, "text": "Lake. " * 2_000}]})
    _ended(client, batch.id)
    live, *items = simulator.purchases()
    assert [(one["batch_id"], one["custom_id"]) for one in items] != [(None, None)] * 2
    by_id = {one["custom_id"]: one for one in items}
    read, wrote = by_id["item-0"]["usage"], by_id["item-1"]["usage"]
    assert (read["service_tier"], live["usage"]["service_tier"]) == ("batch", "standard")
    assert read["cache_read_input_tokens"] == live["usage"]["cache_creation_input_tokens"] > 0
    assert wrote["cache_creation_input_tokens"] > 0

    def whole(usage: dict[str, Any]) -> int:
        tokens = usage["input_tokens"] * 3_000 + usage["output_tokens"] * 15_000
        return int(tokens + usage["cache_read_input_tokens"] * 300 + usage["cache_creation_input_tokens"] * 3_750)

    searches = 2 * 10_000_000
    assert live["billed_nano_usd"] == whole(live["usage"]) + searches
    for one in items:
        assert one["billed_nano_usd"] == whole(one["usage"]) // 2 + searches


def test_the_report_splits_by_service_tier(simulator: RunningSimulator, client: Anthropic) -> None:
    client.messages.create(**_params())
    _ended(client, _create(client).id)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    span: Any = {"starting_at": today - timedelta(days=1), "ending_at": today + timedelta(days=2)}
    rows: Any = client.beta.organization.analytics.cost.list(**span, time_bucket_width="1d", group_by=["service_tier"])
    cents = {row.to_dict()["group"]["service_tier"]: Decimal(row.cost.amount) for row in rows}
    bought = dict.fromkeys(("standard", "batch"), 0)
    for one in simulator.purchases():
        bought[one["usage"]["service_tier"]] += one["billed_nano_usd"]
    assert {tier: int(amount * 10_000_000) for tier, amount in cents.items()} == bought
    assert bought["batch"] > 0


def test_a_wrong_request_is_an_errored_line_and_free(simulator: RunningSimulator, client: Anthropic) -> None:
    wrong: list[dict[str, Any]] = [
        {"stream": True},
        {"speed": "fast"},
        {"store": True},
        {"max_tokens": 0},
        {"temperature": 1.0},
    ]
    batch = _create(client, _params(), *(_params(**each) for each in wrong), _params(model="claude-none"))
    counts = _ended(client, batch.id).request_counts
    assert (counts.succeeded, counts.errored) == (1, 6)
    results = _results(client, batch.id)
    kinds = [results[f"item-{number}"].error.error.type for number in range(1, 7)]
    assert kinds == ["invalid_request_error"] * 5 + ["not_found_error"]
    assert results["item-1"].error.type == "error"
    assert "stream" in results["item-1"].error.error.message
    assert [one["billed_nano_usd"] > 0 for one in simulator.purchases()].count(True) == 1


def test_the_list_is_paged_from_the_newest(client: Anthropic) -> None:
    ids = [_create(client, count=1).id for _ in range(5)][::-1]
    assert [batch.id for batch in client.messages.batches.list(limit=2)] == ids
    page = client.messages.batches.list(limit=2, after_id=ids[1])
    assert ([one.id for one in page.data], page.has_more) == (ids[2:4], True)
    assert (page.first_id, page.last_id) == (ids[2], ids[3])
    before = client.messages.batches.list(limit=2, before_id=ids[4])
    assert ([one.id for one in before.data], before.has_more) == (ids[2:4], True)
    assert client.messages.batches.list(limit=1_000).has_more is False
    wrong: tuple[dict[str, Any], ...] = ({"limit": 0}, {"limit": 1_001}, {"after_id": "msgbatch_none"})
    for asked in wrong:
        with pytest.raises(anthropic.BadRequestError):
            client.messages.batches.list(**asked)


def test_a_cancel_is_for_the_whole_message_batch(simulator: RunningSimulator, client: Anthropic) -> None:
    simulator.set_script(_NEVER)
    batch = _create(client)
    with pytest.raises(anthropic.BadRequestError, match="in progress"):
        client.messages.batches.delete(batch.id)
    canceling = client.messages.batches.cancel(batch.id)
    assert canceling.processing_status == "canceling"
    assert canceling.cancel_initiated_at is not None
    ended = _ended(client, batch.id)
    assert (ended.request_counts.canceled, ended.cancel_initiated_at) == (3, canceling.cancel_initiated_at)
    assert {result.type for result in _results(client, batch.id).values()} == {"canceled"}
    assert simulator.purchases() == []
    with pytest.raises(anthropic.BadRequestError, match="has ended"):
        client.messages.batches.cancel(batch.id)


def test_a_deleted_message_batch_is_gone(client: Anthropic) -> None:
    batch = _create(client)
    _ended(client, batch.id)
    assert client.messages.batches.delete(batch.id).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.retrieve(batch.id)
    assert list(client.messages.batches.list()) == []


def test_results_before_the_end_are_not_found(simulator: RunningSimulator, client: Anthropic) -> None:
    simulator.set_script(_NEVER)
    batch = _create(client)
    with pytest.raises(anthropic.NotFoundError):
        client.get(f"/v1/messages/batches/{batch.id}/results", cast_to=object)


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        ([], "requests: List should have at least 1 item"),
        (None, "requests: Field required"),
        ([{"params": _params()}], "requests.0.custom_id: Field required"),
        ([{"custom_id": "a"}], "requests.0.params: Field required"),
        ([{"custom_id": "a b", "params": _params()}], "requests.0.custom_id: String should match pattern"),
        ([{"custom_id": "ä", "params": _params()}], "requests.0.custom_id: String should match pattern"),
        ([{"custom_id": "a" * 65, "params": _params()}], "requests.0.custom_id: String should have at most 64"),
        ([{"custom_id": "a", "params": _params()}] * 2, "custom_id must be unique"),
    ],
)
def test_a_wrong_create_is_refused_at_once(client: Anthropic, requests: Any, message: str) -> None:
    body = {} if requests is None else {"requests": requests}
    with pytest.raises(anthropic.BadRequestError, match=message.replace(".", r"\.")):
        client.post("/v1/messages/batches", cast_to=object, body=body)
    assert list(client.messages.batches.list()) == []


def test_too_many_or_too_large_requests_are_413(simulator: RunningSimulator, client: Anthropic) -> None:
    for script in ("most_requests = 2", "most_bytes = 300"):
        simulator.set_script(_AT_ONCE + script)
        with pytest.raises(anthropic.APIStatusError) as caught:
            _create(client)
        assert (caught.value.status_code, caught.value.type) == (413, "request_too_large")
        assert _create(client, count=1).id


def test_a_hundred_thousand_requests_are_the_most(client: Anthropic) -> None:
    requests = [{"custom_id": str(number), "params": {}} for number in range(100_001)]
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.post("/v1/messages/batches", cast_to=object, body={"requests": requests})
    assert caught.value.status_code == 413


def test_a_full_queue_is_a_429_with_advice(simulator: RunningSimulator, client: Anthropic) -> None:
    simulator.set_script(_NEVER + "queue = 5")
    first = _create(client)
    with pytest.raises(anthropic.RateLimitError) as caught:
        _create(client)
    assert "5 batch requests in the processing queue" in str(caught.value)
    assert caught.value.response.headers["retry-after"] == "30"
    client.messages.batches.cancel(first.id)
    _ended(client, first.id)
    assert _create(client).id


def test_calls_have_a_rate_limit_of_their_own(simulator: RunningSimulator, client: Anthropic) -> None:
    simulator.set_script(_AT_ONCE + "requests_per_minute = 2")
    raw = client.messages.batches.with_raw_response.list()
    assert raw.headers["anthropic-ratelimit-requests-limit"] == "2"
    assert raw.headers["anthropic-ratelimit-requests-remaining"] == "1"
    assert "anthropic-ratelimit-input-tokens-limit" not in raw.headers
    client.messages.batches.list()
    with pytest.raises(anthropic.RateLimitError) as caught:
        client.messages.batches.list()
    assert 0 < int(caught.value.response.headers["retry-after"]) <= 30
    client.messages.create(**_params())


def test_the_beta_client_and_a_wrong_key_are_answered_as_ever(simulator: RunningSimulator, client: Anthropic) -> None:
    assert client.beta.messages.batches.list(betas=["message-batches-2024-09-24"]).data == []
    with pytest.raises(anthropic.BadRequestError):
        client.beta.messages.batches.list(betas=["none-of-these"])
    with pytest.raises(HTTPError) as caught:
        urlopen(simulator.url + "/v1/messages/batches")  # noqa: S310  # the simulator's own address
    with caught.value as refused:
        assert refused.code == 401


def test_a_test_can_ask_for_all_message_batches(simulator: RunningSimulator, client: Anthropic) -> None:
    batch = _create(client, count=2)
    (seen,) = simulator.batches()
    assert (seen["id"], seen["number"], seen["is_foreign"]) == (batch.id, 1, False)
    assert seen["custom_ids"] == ["item-0", "item-1"]
    assert simulator.stats()["batch_calls"] == {"create": 1}
    json.dumps(seen)
