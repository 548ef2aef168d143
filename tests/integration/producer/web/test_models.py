"""The provider's Models API, its token counting, and its headers of what a caller may still do, on a real ledger."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic.types import MessageTokensCount, ModelInfo

from models.settings import Settings, load_settings
from producer.client import Producer
from producer.simulator.process import RunningSimulator, running_simulator
from tests.support.sites.app_client import asked, visiting

_CHAIN = ("claude-opus-4-7", "claude-sonnet-4-6", "claude-haiku-4-5-20251001")
_COUNT = "/v1/messages/count_tokens"
_BATCHES = "/v1/messages/batches"
_TOKEN, _FREE = "token-of-the-poor-0001", "token-of-the-free-0001"


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSimulator]:
    """Run an API to ask."""
    with running_simulator(log=tmp_path_factory.mktemp("counting") / "purchases.jsonl") as running:
        yield running


@pytest.fixture
def settings(sqlite_url: str, tmp_path: Path, simulator: RunningSimulator) -> Settings:
    """Make settings with that API."""
    return load_settings(
        env_file=None,
        database_url=sqlite_url,
        state_dir=tmp_path,
        anthropic_api_key="sk-ant-of-nobody",
        anthropic_base_url=simulator.url,
    )


@pytest.fixture
def producer(settings: Settings) -> Iterator[Producer]:
    """Open a producer."""
    with Producer(settings) as producer:
        yield producer


def _asked(producer: Producer, settings: Settings, method: str, path: str, **given: Any) -> httpx2.Response:
    async def ask() -> httpx2.Response:
        async with visiting(producer, settings) as client:
            return await client.request(method, path, **given)

    return asyncio.run(ask())


def test_the_models_of_the_chain_are_listed_in_pages(producer: Producer, settings: Settings) -> None:
    async def walk() -> list[str]:
        async with visiting(producer, settings) as transport:
            sdk = anthropic.AsyncAnthropic(api_key="any", base_url="http://127.0.0.1:8700", http_client=transport)
            return [model.id async for model in sdk.models.list(limit=2)]

    assert asyncio.run(walk()) == [*_CHAIN]
    page = _asked(producer, settings, "GET", "/v1/models?limit=1&after_id=claude-opus-4-7").json()
    assert (page["first_id"], page["last_id"], page["has_more"]) == (_CHAIN[1], _CHAIN[1], True)
    page = _asked(producer, settings, "GET", f"/v1/models?limit=1&before_id={_CHAIN[2]}").json()
    assert ([one["id"] for one in page["data"]], page["has_more"]) == ([_CHAIN[1]], True)
    assert _asked(producer, settings, "GET", f"/v1/models?after_id={_CHAIN[2]}").json()["data"] == []


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "after_id=claude-2", "before_id=a&after_id=b"])
def test_a_page_that_cannot_be_is_refused(producer: Producer, settings: Settings, query: str) -> None:
    refused = _asked(producer, settings, "GET", f"/v1/models?{query}")
    assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_request_error")


def test_a_model_is_told_as_the_provider_tells_it(producer: Producer, settings: Settings) -> None:
    response = ModelInfo.model_validate(_asked(producer, settings, "GET", "/v1/models/claude-haiku-4-5").json())
    assert (response.id, response.display_name, response.line) == (_CHAIN[2], "Claude Haiku 4.5", "haiku")
    assert (response.max_input_tokens, response.max_tokens, response.created_at.year) == (200_000, 64_000, 2025)
    missing = _asked(producer, settings, "GET", "/v1/models/claude-2")
    assert (missing.status_code, missing.json()["error"]["type"]) == (404, "not_found_error")


def test_tokens_are_counted_by_the_provider(
    producer: Producer, settings: Settings, simulator: RunningSimulator
) -> None:
    body = {"model": "claude-haiku-4-5", "messages": asked()["messages"], "system": "Be brief."}
    response = _asked(producer, settings, "POST", _COUNT, json=body)
    with anthropic.Anthropic(api_key="any", base_url=simulator.url) as direct:
        expected = direct.messages.count_tokens(**{**body, "model": _CHAIN[2]})
    assert MessageTokensCount.model_validate(response.json()) == expected
    assert "x-stepdown-estimated" not in response.headers


def test_a_count_that_the_provider_refuses_is_refused_in_its_words(producer: Producer, settings: Settings) -> None:
    body = {"model": _CHAIN[1], "messages": asked()["messages"], "temperature": 0.5}
    assert _asked(producer, settings, "POST", _COUNT, json=body).status_code == 200
    newer = {"anthropic-version": "2026-10-21"}
    refused = _asked(producer, settings, "POST", _COUNT, json=body, headers=newer)
    assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_request_error")
    assert "temperature" in refused.json()["error"]["message"]
    missing = _asked(producer, settings, "POST", _COUNT, json={**body, "model": "claude-2"})
    assert missing.status_code == 404


def test_without_a_key_a_count_is_an_estimate_that_says_so(producer: Producer, settings: Settings) -> None:
    keyless = settings.model_copy(update={"anthropic_api_key": None})
    response = _asked(
        producer, keyless, "POST", _COUNT, json={"model": _CHAIN[0], "messages": asked("x" * 3500)["messages"]}
    )
    assert (response.json(), response.headers["x-stepdown-estimated"]) == ({"input_tokens": 1000}, "true")


def test_a_provider_that_is_away_is_told_and_nothing_is_made_up(producer: Producer, settings: Settings) -> None:
    away = settings.model_copy(update={"anthropic_base_url": "http://127.0.0.1:9"})
    response = _asked(producer, away, "POST", _COUNT, json={"model": _CHAIN[0], "messages": asked()["messages"]})
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")


def test_headers_tell_what_a_caller_may_still_do(producer: Producer, settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "callers.toml"
    poor = f'[poor]\ntoken = "{_TOKEN}"\nday_cap_usd = 2\nrequests_per_minute = 3\n'
    path.write_text(f'{poor}[free]\ntoken = "{_FREE}"\n', encoding="utf-8")
    limited = load_settings(env_file=None, database_url=settings.database_url, state_dir=tmp_path, callers_file=path)
    body = {"requests": [{"custom_id": "a", "params": asked()}]}

    async def ask() -> list[httpx2.Response]:
        async with visiting(producer, limited) as client:
            sent = [await client.post(_BATCHES, json=body, headers={"x-api-key": _TOKEN}) for _ in range(4)]
            return [*sent, await client.post(_BATCHES, json=body, headers={"x-api-key": _FREE})]

    *sent, free = asyncio.run(ask())
    assert [one.status_code for one in sent] == [200, 200, 200, 429]
    response = sent[0].headers
    assert [response[f"anthropic-ratelimit-requests-{word}"] for word in ("limit", "remaining")] == ["3", "2"]
    assert response["anthropic-ratelimit-input-tokens-limit"] == response["anthropic-ratelimit-input-tokens-remaining"]
    assert int(response["anthropic-ratelimit-output-tokens-limit"]) == Decimal(2) / Decimal(25) * 1_000_000
    assert response["anthropic-ratelimit-output-tokens-reset"].endswith("T00:00:00Z")
    assert (response["x-stepdown-day-cap-usd"], response["x-stepdown-day-left-usd"]) == ("2", "2")
    assert 1 <= int(sent[3].headers["retry-after"]) <= 20
    assert sent[3].json()["error"]["type"] == "rate_limit_error"
    assert not any(name.startswith("anthropic-ratelimit") for name in free.headers)
