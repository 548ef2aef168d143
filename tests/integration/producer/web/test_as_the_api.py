"""`stepdown serve` is as the API: the caller's version and betas, odd but valid turns, and who is about to give up."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import anthropic
import httpx2
import pytest

from tests.support.sites.app_client import asked
from tests.support.sites.serve_site import Site, open_site, requests
from tests.support.sites.worker_site import ENGINES, HAIKU, OPUS, SONNET

_OLDER, _NEWER = "2023-06-01", "2026-10-21"
_SERVER = {"type": "url", "url": "https://example.com/mcp", "name": "files"}
_REFUSAL = 'answer = "refusal"\noutput = true\ncategory = "bio"'


@pytest.fixture(scope="module", params=ENGINES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run a worker and a server for all tests of this file."""
    with open_site(request, tmp_path_factory.mktemp("as_the_api")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _no_faults(site: Site) -> None:
    site.forget()


def _post(site: Site, body: dict[str, Any], **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.post(f"{site.url}/v1/messages", json=body, headers=named, timeout=60)


def _bought(site: Site, answer: httpx2.Response) -> list[dict[str, Any]]:
    job = answer.headers["x-stepdown-job"]
    return [bought for bought in site.plant.simulator.purchases() if bought["job"] == job]


def test_a_step_down_keeps_a_request_of_the_older_version_good(site: Site) -> None:
    site.plant.simulator.set_script(f'[[rules]]\nmodel = "{OPUS}"\nanswer = 529')
    for model, answered in ((OPUS, SONNET), (SONNET, SONNET), (HAIKU, HAIKU)):
        response = _post(site, asked(f"Why {model}?", model=model, temperature=0.3), anthropic_version=_OLDER)
        assert (response.status_code, response.json()["model"]) == (200, answered)
        assert {bought["version"] for bought in _bought(site, response)} == {_OLDER}


@pytest.mark.parametrize("version", [_OLDER, _NEWER])
def test_a_request_leaves_under_its_callers_version_and_betas(site: Site, version: str) -> None:
    betas = "mcp-client-2025-11-20, files-api-2025-04-14"
    body = asked(f"What is in the files of {version}?", mcp_servers=[_SERVER])
    response = _post(site, body, anthropic_version=version, anthropic_beta=betas)
    assert response.status_code == 200, response.text
    assert [(bought["version"], bought["betas"]) for bought in _bought(site, response)] == [
        (version, betas.split(", "))
    ]


def test_a_batch_leaves_under_its_callers_version_and_betas(site: Site) -> None:
    beta: Any = site.client.beta.messages
    params = asked("What is in the files?", model=HAIKU, mcp_servers=[_SERVER])
    made = beta.batches.create(requests=[{"custom_id": "a", "params": params}], betas=["mcp-client-2025-11-20"])
    site.ended(made.id)
    assert [line.result.type for line in beta.batches.results(made.id)] == ["succeeded"]
    last = site.plant.simulator.purchases()[-1]
    assert (last["version"], "mcp-client-2025-11-20" in last["betas"]) == (_NEWER, True)


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({"anthropic_version": "2024-01-01"}, "anthropic-version: '2024-01-01'"),
        ({"anthropic_beta": "no such beta"}, "anthropic-beta: 'no such beta'"),
        ({"anthropic_beta": "wings-2026-01-01"}, "wings-2026-01-01"),
    ],
)
def test_a_version_or_a_beta_that_cannot_be_sent_is_refused_by_name(
    site: Site, headers: dict[str, str], named: str
) -> None:
    response = _post(site, asked("Why?"), **headers)
    assert (response.status_code, response.json()["error"]["type"]) == (400, "invalid_request_error")
    assert named in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("rule", "stop_reason", "has_text"),
    [
        ('answer = "empty_turn"', "end_turn", False),
        (_REFUSAL, "refusal", True),
        ('answer = "refusal"\noutput = false', "refusal", False),
        ('answer = "thinking_only"', "max_tokens", False),
        ('answer = "odd_stop"\nstop_reason = "of_next_year"', "of_next_year", True),
    ],
)
@pytest.mark.parametrize("is_stream", [False, True])
def test_an_odd_turn_is_the_answer_as_at_the_api(
    site: Site, rule: str, stop_reason: str, has_text: bool, is_stream: bool
) -> None:
    site.plant.simulator.set_script(f"[[rules]]\n{rule}")
    response = _post(site, asked("Why is it odd?", stream=is_stream))
    assert response.status_code == 200, response.text
    message = _streamed(response.text) if is_stream else response.json()
    assert (message["stop_reason"], any(block["type"] == "text" for block in message["content"])) == (
        stop_reason,
        has_text,
    )
    billed = sum(bought["billed_nano_usd"] for bought in _bought(site, response))
    cost = response.headers.get("x-stepdown-cost-usd")
    is_live = is_stream and bool(message["content"])  # its headers leave before its cost is known
    assert (cost is None) == is_live
    assert cost is None or Decimal(cost) * 10**9 == billed


def test_a_turn_that_only_fills_the_cache_is_empty_and_asked_once(site: Site) -> None:
    response = _post(site, asked("Read this.", max_tokens=0))
    assert response.status_code == 200, response.text
    message = response.json()
    assert (message["content"], message["stop_reason"], message["usage"]["output_tokens"]) == ([], "max_tokens", 0)
    assert len(_bought(site, response)) == 1


def test_a_refusal_stands_where_nobody_else_answers(site: Site) -> None:
    rules = [f'[[rules]]\nmodel = "{OPUS}"\n{_REFUSAL}', "[[rules]]\nanswer = 400"]
    site.plant.simulator.set_script("\n".join(rules))
    response = _post(site, asked("Why is it refused?"))
    assert (response.status_code, response.json()["stop_reason"], response.json()["stop_details"]["category"]) == (
        200,
        "refusal",
        "bio",
    )


def test_a_refused_item_of_a_batch_succeeded_as_at_the_api(site: Site) -> None:
    site.plant.simulator.set_script(f'[[rules]]\nprompt_contains = "venom"\n{_REFUSAL}')
    made = site.client.messages.batches.create(requests=requests("venom", "honey"))
    assert site.ended(made.id).request_counts.succeeded == 2
    results = {line.custom_id: line.result for line in site.client.messages.batches.results(made.id)}
    refused = results["doc-venom"]
    assert refused.type == "succeeded"
    assert (refused.message.stop_reason, bool(refused.message.content)) == ("refusal", True)


def test_a_paused_turn_that_does_not_end_is_told_as_paused(site: Site) -> None:
    site.plant.simulator.set_script('[[rules]]\nanswer = "odd_stop"\nstop_reason = "pause_turn"')
    response = _post(site, asked("Why does it pause?"))
    assert (response.status_code, response.json()["stop_reason"]) == (200, "pause_turn")


def test_a_stream_ends_with_the_usage_it_began_with(site: Site) -> None:
    events = _events(_post(site, asked("Why is it counted?", stream=True)).text)
    (begun,) = (event["message"]["usage"] for event in events if event["type"] == "message_start")
    (ended,) = (event["usage"] for event in events if event["type"] == "message_delta")
    both = ended.keys() & begun.keys() - {"output_tokens"}
    assert {name: ended[name] for name in both} == {name: begun[name] for name in both}
    assert ended["output_tokens"] > 0
    assert "cache_read_input_tokens" in both


@pytest.mark.parametrize(
    "told_s",
    [
        {"x_stainless_timeout": "2"},
        {"x_stainless_timeout": "NOT_GIVEN", "x_stainless_read_timeout": "2.0"},
        {"x_stainless_timeout": "600", "x_stainless_read_timeout": "2"},
    ],
)
# A job that is just being asked again waits for no limit: a 529.
@pytest.mark.parametrize(("answer", "statuses"), [("529", {529}), ("429\nretry_after_s = 2", {429, 529})])
def test_who_is_about_to_give_up_hears_when_to_come_back(
    site: Site, told_s: dict[str, str], answer: str, statuses: set[int]
) -> None:
    site.plant.simulator.set_script(f"[[rules]]\nanswer = {answer}")
    response = _post(site, asked("Why is nobody there?"), **told_s)  # unheard, it would wait for ten minutes
    assert response.status_code in statuses, response.text
    assert response.headers["x-should-retry"] in {"true", "false"}  # false: it is being asked
    assert 1 <= int(response.headers["retry-after"]) <= 60


def test_who_waits_for_a_call_in_flight_is_not_sent_to_buy_it_again(site: Site) -> None:
    site.plant.simulator.set_script('[[rules]]\nanswer = "ok"\ndelay_s = 4.0')
    response = _post(site, asked("Why is it slow?"), x_stainless_read_timeout="2")
    assert (response.status_code, response.headers["x-should-retry"]) == (529, "false")
    assert "retry-after" in response.headers


def test_a_stream_is_pinged_within_its_readers_patience(site: Site) -> None:
    site.plant.simulator.set_script('[[rules]]\nanswer = "ok"\ndelay_s = 4.0')
    with anthropic.Anthropic(base_url=site.url, api_key="any", max_retries=0, timeout=2) as client:
        events = list(client.messages.create(**asked("Why is it slow, too?"), stream=True))
    assert events[-1].type == "message_stop"


def _events(text: str) -> list[dict[str, Any]]:
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(each) for each in data]


def _streamed(text: str) -> dict[str, Any]:
    """Put the blocks and the end of a stream together."""
    events = _events(text)
    blocks = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    (ended,) = (event["delta"] for event in events if event["type"] == "message_delta")
    return {"content": blocks, **ended}
