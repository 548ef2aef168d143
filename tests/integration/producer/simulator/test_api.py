"""The official SDK, synchronous and not, takes the simulator for the API."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic, DefaultAioHttpClient
from anthropic.types.shared.enforced_spend_limit_reached_error import EnforcedSpendLimitReachedError
from anthropic.types.shared.ramp_limit_exceeded_error import RampLimitExceededError

from producer.simulator.process import RunningSimulator, SimulatorError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROMPT = "Three bridges were closed before dawn on Tuesday. Nobody was hurt."


@pytest.fixture
def client(simulator: RunningSimulator) -> Iterator[Anthropic]:
    """Build a client that never retries by itself, on a simulator that answers well."""
    simulator.set_script("")
    with Anthropic(api_key="key", base_url=simulator.url, max_retries=0) as api:
        yield api


def _ask(client: Anthropic, **changes: Any) -> anthropic.types.Message:
    request: dict[str, Any] = {
        "model": "claude-opus-4-7",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": _PROMPT}],
    }
    message: anthropic.types.Message = client.messages.create(**(request | changes))
    return message


def test_a_message_comes_back_with_its_usage(client: Anthropic) -> None:
    message = _ask(client)
    (block,) = message.content
    assert block.type == "text"
    assert "Three bridges were closed" in block.text
    assert message.usage.input_tokens == -(-len(_PROMPT) // 4)
    assert (message.stop_reason, message.usage.service_tier) == ("end_turn", "standard")


def test_the_asynchronous_client_over_aiohttp_gets_the_same_answer(
    client: Anthropic, simulator: RunningSimulator
) -> None:
    async def ask() -> anthropic.types.Message:
        async with AsyncAnthropic(
            api_key="key", base_url=simulator.url, max_retries=0, http_client=DefaultAioHttpClient()
        ) as api:
            return await api.messages.create(
                model="claude-opus-4-7", max_tokens=100, messages=[{"role": "user", "content": _PROMPT}]
            )

    assert asyncio.run(ask()).content == _ask(client).content


def test_an_alias_is_answered_by_the_dated_model(client: Anthropic) -> None:
    assert _ask(client, model="claude-haiku-4-5").model == "claude-haiku-4-5-20251001"


def test_headers_name_the_request_and_the_limits(client: Anthropic, simulator: RunningSimulator) -> None:
    raw = client.messages.with_raw_response.create(
        model="claude-opus-4-7", max_tokens=10, messages=[{"role": "user", "content": "Hi"}]
    )
    assert raw.headers["request-id"] == simulator.purchases()[-1]["request_id"]
    for kind in ("requests", "input-tokens", "output-tokens"):
        assert int(raw.headers[f"anthropic-ratelimit-{kind}-limit"]) > 0
        assert int(raw.headers[f"anthropic-ratelimit-{kind}-remaining"]) > 0
        assert raw.headers[f"anthropic-ratelimit-{kind}-reset"].endswith("Z")


def test_job_and_attempt_headers_reach_the_purchase_log(client: Anthropic, simulator: RunningSimulator) -> None:
    message = _ask(client, extra_headers={"x-stepdown-job": "job-1", "x-stepdown-attempt": "2"})
    purchase = simulator.purchases()[-1]
    assert (purchase["job"], purchase["attempt"]) == ("job-1", "2")
    assert purchase["message_id"] == message.id
    assert purchase["usage"]["output_tokens"] == message.usage.output_tokens
    assert purchase["billed_nano_usd"] == message.usage.input_tokens * 5_000 + message.usage.output_tokens * 25_000


def test_tokens_are_counted_for_free(client: Anthropic, simulator: RunningSimulator) -> None:
    before = len(simulator.purchases())
    count = client.messages.count_tokens(model="claude-opus-4-7", messages=[{"role": "user", "content": _PROMPT}])
    assert count.input_tokens == -(-len(_PROMPT) // 4)
    assert len(simulator.purchases()) == before


def test_models_are_listed_and_found(client: Anthropic) -> None:
    models = {model.id: model for model in client.models.list()}
    assert models["claude-opus-4-7"].max_input_tokens == 1_000_000
    assert client.models.retrieve("claude-haiku-4-5").max_tokens == 64_000
    assert client.models.retrieve("claude-sonnet-4-5").lifecycle == "deprecated"
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("claude-opus-9")


@pytest.mark.parametrize(
    ("word", "error", "kind"),
    [
        ("400", anthropic.BadRequestError, "invalid_request_error"),
        ("400_too_long", anthropic.BadRequestError, "invalid_request_error"),
        ("400_spend_limit", anthropic.BadRequestError, "invalid_request_error"),
        ("401", anthropic.AuthenticationError, "authentication_error"),
        ("402", anthropic.PaymentRequiredError, "billing_error"),
        ("403", anthropic.PermissionDeniedError, "permission_error"),
        ("404", anthropic.NotFoundError, "not_found_error"),
        ("408", anthropic.RequestTimeoutError, "timeout_error"),
        ("413", anthropic.ContentTooLargeError, "request_too_large"),
        ("429", anthropic.RateLimitError, "rate_limit_error"),
        ("429_spend_limit", EnforcedSpendLimitReachedError, "rate_limit_error"),
        ("429_ramp_limit", RampLimitExceededError, "rate_limit_error"),
        ("500", anthropic.InternalServerError, "api_error"),
        ("502", anthropic.InternalServerError, "api_error"),
        ("503", anthropic.ServiceUnavailableError, "api_error"),
        ("504", anthropic.GatewayTimeoutError, "timeout_error"),
        ("529", anthropic.OverloadedError, "overloaded_error"),
    ],
)
def test_the_sdk_knows_each_error(
    client: Anthropic, simulator: RunningSimulator, word: str, error: type[anthropic.APIStatusError], kind: str
) -> None:
    simulator.set_script(f"[[rules]]\nanswer = '{word}'\n")
    with pytest.raises(error) as caught:
        _ask(client)
    assert caught.value.type == kind
    assert caught.value.request_id == simulator.purchases()[-1]["request_id"]
    assert caught.value.status_code == int(word[:3])


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ("answer = '403_page'", anthropic.PermissionDeniedError),
        ("answer = '403_model'", anthropic.PermissionDeniedError),
        ("answer = '524_page'", anthropic.InternalServerError),
        ("answer = '400_list'", anthropic.BadRequestError),
        ("answer = 409", anthropic.ConflictError),
        ("answer = '499_empty'", anthropic.APIStatusError),
        ("answer = 'raw'\nstatus = 421\ncontent_type = 'text/plain; charset=utf-8'", anthropic.APIStatusError),
    ],
)
def test_the_sdk_gets_what_gateways_send(
    client: Anthropic, simulator: RunningSimulator, rule: str, error: type[anthropic.APIStatusError]
) -> None:
    simulator.set_script(f"[[rules]]\n{rule}\n")
    with pytest.raises(error) as caught:
        _ask(client)
    assert caught.value.status_code == simulator.purchases()[-1]["status"]


def test_a_redirect_leads_elsewhere(simulator: RunningSimulator) -> None:
    simulator.set_script(f"[[rules]]\nanswer = 307\nlocation = '{simulator.url}/v1/login'\n")
    with Anthropic(api_key="key", base_url=simulator.url, max_retries=0) as api, pytest.raises(anthropic.NotFoundError):
        _ask(api)


def test_the_version_is_a_part_of_the_request(client: Anthropic, simulator: RunningSimulator) -> None:
    older = {"anthropic-version": "2023-06-01"}
    asked: dict[str, Any] = {"model": "claude-sonnet-4-6", "extra_body": {"temperature": 0.5}}
    with pytest.raises(anthropic.BadRequestError, match="`temperature` is not supported by version 2026-10-21"):
        _ask(client, **asked)
    assert _ask(client, **asked, extra_headers=older).stop_reason == "end_turn"
    assert [row["version"] for row in simulator.purchases()[-2:]] == ["2026-10-21", "2023-06-01"]


def test_an_unknown_beta_is_refused_wherever_it_is_sent(client: Anthropic) -> None:
    unknown = {"anthropic-beta": "wings-2026-01-01"}
    with pytest.raises(anthropic.BadRequestError, match="wings-2026-01-01"):
        _ask(client, extra_headers=unknown)
    with pytest.raises(anthropic.BadRequestError, match="wings-2026-01-01"):
        client.models.list(extra_headers=unknown)


def test_stats_tell_noise_from_what_the_rules_answer(client: Anthropic, simulator: RunningSimulator) -> None:
    simulator.set_script("[noise]\n529 = 1\n")
    before = simulator.stats()["noise"].get("529", 0)
    with pytest.raises(anthropic.OverloadedError):
        _ask(client)
    assert simulator.stats()["noise"]["529"] == before + 1


def test_retry_after_is_sent_as_the_script_says(client: Anthropic, simulator: RunningSimulator) -> None:
    simulator.set_script("[[rules]]\nanswer = 429\nretry_after_s = 3600\n")
    with pytest.raises(anthropic.RateLimitError) as caught:
        _ask(client)
    assert caught.value.response.headers["retry-after"] == "3600"


def test_a_refusal_without_output_is_empty_and_free(client: Anthropic, simulator: RunningSimulator) -> None:
    simulator.set_script("[[rules]]\nanswer = 'refusal'\noutput = false\n")
    message = _ask(client)
    assert (message.stop_reason, message.content) == ("refusal", [])
    assert simulator.purchases()[-1]["billed_nano_usd"] == 0


def test_a_scripted_max_tokens_fills_them(client: Anthropic, simulator: RunningSimulator) -> None:
    simulator.set_script("[[rules]]\nanswer = 'max_tokens'\n")
    message = _ask(client)
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 100)


def test_a_body_above_32_mb_is_too_large(client: Anthropic, simulator: RunningSimulator) -> None:
    with pytest.raises(anthropic.ContentTooLargeError):
        _ask(client, messages=[{"role": "user", "content": "x" * (33 * 1024 * 1024)}])
    assert simulator.purchases()[-1]["status"] == 413


def test_nul_and_a_lone_surrogate_arrive_as_written(client: Anthropic, simulator: RunningSimulator) -> None:
    simulator.set_script("[[rules]]\nanswer = 'text'\ntext = 'a\\u0000b\\ud800c'\n")
    (block,) = json.loads(
        client.messages.with_raw_response.create(
            model="claude-opus-4-7", max_tokens=10, messages=[{"role": "user", "content": "Hi"}]
        ).http_response.content
    )["content"]
    assert block["text"] == "a\0b\ud800c"


def test_a_wrong_script_is_refused_and_the_old_one_stays(client: Anthropic, simulator: RunningSimulator) -> None:
    simulator.set_script("[[rules]]\nanswer = 529\n")
    with pytest.raises(SimulatorError, match="rule 1: field 'answer': 'okay' is unknown"):
        simulator.set_script("[[rules]]\nanswer = 'okay'\n")
    with pytest.raises(anthropic.OverloadedError):
        _ask(client)
