"""Noise by rates, odd turns, odd usage, replies of gateways, and the time that tokens take."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from producer.simulator.account.purchases import PurchaseLog
from producer.simulator.answer.pages import PAGES
from producer.simulator.answer.script import parse_script
from producer.simulator.simulation import Incoming, Reply, Simulation

_NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


def _simulation(script: str, *, latency_s: float = 0.0) -> Simulation:
    return Simulation(
        script=parse_script(script), log=PurchaseLog(), clock=lambda: 1_000.0, utc_now=lambda: _NOW, latency_s=latency_s
    )


def _rule(text: str) -> Simulation:
    return _simulation(f"[[rules]]\n{text}\n")


def _ask(simulation: Simulation, content: Any = "The bridge was opened in 1932.", **changes: Any) -> Reply:
    turns = content if isinstance(content, list) else [{"role": "user", "content": content}]
    body = {"model": "claude-opus-4-7", "max_tokens": 300, "messages": turns} | changes
    return simulation.answer(Incoming(body=json.dumps(body).encode()))


def _message(simulation: Simulation, **changes: Any) -> Any:
    return json.loads(_ask(simulation, **changes).body)


def _billed(simulation: Simulation) -> int:
    return int(simulation.log.read()[-1]["billed_nano_usd"])


def test_noise_answers_its_shares_of_all_requests() -> None:
    simulation = _simulation("[noise]\n429 = 0.05\n500 = 0.02\nreset_after = 0.02\n")
    for number in range(4_000):
        _ask(simulation, f"Prompt {number}.")
    seen = Counter(row["answer"] for row in simulation.log.read())
    assert 150 < seen["429"] < 250
    assert 50 < seen["500"] < 110
    assert 50 < seen["reset_after"] < 110
    assert {name: simulation.tally[f"noise {name}"] for name in ("429", "500")} == {
        "429": seen["429"],
        "500": seen["500"],
    }


def test_noise_is_drawn_for_each_request_and_not_for_each_body() -> None:
    simulation = _simulation("[noise]\n529 = 0.5\n")
    assert {_ask(simulation).status for _ in range(20)} == {200, 529}


def test_noise_takes_nothing_from_the_limits_and_shows_them_unused() -> None:
    simulation = _simulation(
        "[noise]\n429 = 1\nretry_after_s = 2\n[limits.opus-4]\nrequests_per_minute = 2\ninput_tokens_per_minute = 600\n"
    )
    replies = [_ask(simulation) for _ in range(3)]
    assert {reply.status for reply in replies} == {429}
    last = replies[-1].headers
    assert (last["anthropic-ratelimit-requests-limit"], last["anthropic-ratelimit-requests-remaining"]) == ("2", "2")
    assert (last["anthropic-ratelimit-input-tokens-remaining"], last["retry-after"]) == ("600", "2")
    assert simulation.log.read()[-1]["rule"] is None


def test_noise_comes_before_the_rules_and_uses_none_of_them_up() -> None:
    simulation = _simulation("[noise]\n500 = 1\n[[rules]]\nanswer = 529\ntimes = 1\n")
    assert _ask(simulation).status == 500
    simulation.play(parse_script("[[rules]]\nanswer = 529\ntimes = 1\n"))
    assert [_ask(simulation).status for _ in range(2)] == [529, 200]


def test_a_full_bucket_answers_in_the_words_of_the_api() -> None:
    simulation = _simulation("[limits.opus-4]\ninput_tokens_per_minute = 5\n")
    error = _message(simulation)["error"]
    assert error["type"] == "rate_limit_error"
    start = "This request would exceed your organization's rate limit of 5 input tokens per minute (model: claude-opus"
    assert error["message"].startswith(start)


@pytest.mark.parametrize("limited", ["[[rules]]\nanswer = 429\nretry_after_s = 12\n", ""])
def test_retry_after_has_the_form_the_script_says(limited: str) -> None:
    def headers(form: str) -> dict[str, str]:
        limits = "" if limited else "[limits.opus-4]\ninput_tokens_per_minute = 5\n"  # 8 tokens: 3 missing, 36 s
        return _ask(_simulation(f"retry_after_form = '{form}'\n{limited}{limits}")).headers

    wait_s = 12 if limited else 36
    assert headers("seconds")["retry-after"] == str(wait_s)
    assert (parsedate_to_datetime(headers("date")["retry-after"]) - _NOW).total_seconds() == wait_s
    assert (headers("ms")["retry-after-ms"], "retry-after" in headers("ms")) == (str(wait_s * 1000), False)
    assert not {"retry-after", "retry-after-ms"} & headers("none").keys()


def test_a_rule_may_have_a_form_of_its_own() -> None:
    simulation = _rule("answer = 529\nretry_after_s = 1.5\nretry_after_form = 'ms'")
    assert _ask(simulation).headers["retry-after-ms"] == "1500"


def test_a_paused_turn_is_sent_back_and_ended() -> None:
    simulation = _rule("answer = 'pause_turn'\nweb_searches = 3")
    paused = _message(simulation)
    assert (paused["stop_reason"], [block["type"] for block in paused["content"]]) == (
        "pause_turn",
        ["text", "server_tool_use"],
    )
    assert paused["content"][1]["id"].startswith("srvtoolu_")
    assert paused["usage"]["server_tool_use"]["web_search_requests"] == 3
    asked = {"role": "user", "content": "The bridge was opened in 1932."}
    ended = json.loads(_ask(simulation, [asked, {"role": "assistant", "content": paused["content"]}]).body)
    assert ended["stop_reason"] == "end_turn"
    assert "The bridge was opened in 1932." in ended["content"][0]["text"]


def test_a_turn_of_thought_alone_ends_at_max_tokens() -> None:
    simulation = _rule("answer = 'thinking_only'")
    message = _message(simulation)
    assert [block["type"] for block in message["content"]] == ["thinking"]
    assert (message["stop_reason"], message["usage"]["output_tokens"]) == ("max_tokens", 300)
    assert _billed(simulation) == message["usage"]["input_tokens"] * 5_000 + 300 * 25_000


def test_an_empty_turn_ends_well_and_is_billed() -> None:
    simulation = _rule("answer = 'empty_turn'")
    message = _message(simulation)
    assert (message["content"], message["stop_reason"]) == ([], "end_turn")
    assert _billed(simulation) > 0


@pytest.mark.parametrize(("rule", "reason"), [("stop_reason = 'budget_exhausted'", "budget_exhausted"), ("", None)])
def test_a_turn_may_end_for_an_odd_reason_or_for_none(rule: str, reason: str | None) -> None:
    simulation = _rule(f"answer = 'odd_stop'\n{rule}")
    assert _message(simulation)["stop_reason"] == reason
    assert simulation.log.read()[-1]["stop_reason"] == reason


def test_a_refusal_has_its_category_and_explanation() -> None:
    details = _message(_rule("answer = 'refusal'\ncategory = 'cyber'\nexplanation = 'It was blocked.'"))["stop_details"]
    assert details == {"type": "refusal", "category": "cyber", "explanation": "It was blocked."}


def test_a_message_may_be_made_up_in_json() -> None:
    block = {"type": "redacted_thinking", "data": "abc"}
    simulation = _rule(f"answer = 'ok'\nmessage = '{json.dumps({'content': [block], 'stop_reason': None})}'")
    message = _message(simulation)
    assert (message["content"], message["stop_reason"], message["type"]) == ([block], None, "message")
    assert simulation.log.read()[-1]["stop_reason"] is None


_OWN = {"input_tokens": 8, "output_tokens": 1}  # of a text of four letters


@pytest.mark.parametrize(
    ("usage", "nano"),
    [
        ({"input_tokens": None}, 8 * 5_000 + 25_000),
        ({"input_tokens": 100.0, "output_tokens": 10.0}, 100 * 5_000 + 10 * 25_000),
        ({"output_tokens": 300, "output_tokens_details": {"thinking_tokens": 290}}, 8 * 5_000 + 300 * 25_000),
        ({"output_tokens": 10, "output_tokens_details": {"thinking_tokens": 290}}, 8 * 5_000 + 290 * 25_000),
        (
            {
                "cache_creation_input_tokens": 10_353,
                "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            },
            8 * 5_000 + 25_000 + 10_353 * 6_250,
        ),
        (
            {"cache_creation_input_tokens": 0, "cache_creation": {"ephemeral_1h_input_tokens": 2_000}},
            8 * 5_000 + 25_000 + 2_000 * 10_000,
        ),
        ({"cache_creation": None, "cache_read_input_tokens": 1_000}, 8 * 5_000 + 25_000 + 1_000 * 500),
        ({"server_tool_use": {"web_search_requests": 2}}, 8 * 5_000 + 25_000 + 20_000_000),
        ({"inference_geo": "not_available", "service_tier": None, "server_tool_use": None}, 8 * 5_000 + 25_000),
        ({"service_tier": "batch"}, (8 * 5_000 + 25_000) // 2),
        (
            {
                "iterations": [
                    {"type": "compaction", "input_tokens": 1_000, "output_tokens": 10},
                    {"type": "message", **_OWN},
                ]
            },
            1_008 * 5_000 + 11 * 25_000,
        ),
    ],
)
def test_odd_usage_is_billed_by_the_larger_of_totals_and_parts(usage: dict[str, Any], nano: int) -> None:
    simulation = _rule(f"answer = 'text'\ntext = 'Four'\nusage = '{json.dumps(usage)}'")
    reported = _message(simulation)["usage"]
    assert reported == reported | usage
    assert _billed(simulation) == nano


def test_usage_may_also_be_a_table() -> None:
    assert _message(_rule("answer = 'ok'\nusage = {output_tokens = 7000}"))["usage"]["output_tokens"] == 7_000


def test_a_raw_reply_is_sent_as_it_is_written() -> None:
    reply = _ask(
        _rule(
            "answer = 'raw'\nstatus = 418\ncontent_type = 'text/x-tea'\nbody = 'No coffee from {model}.'\n"
            "headers = {x-pot = 'short'}"
        )
    )
    assert (reply.status, reply.content_type, reply.headers) == (418, "text/x-tea", {"x-pot": "short"})
    assert reply.body == b"No coffee from claude-opus-4-7."


@pytest.mark.parametrize(
    ("body", "content_type"),
    [("<p>", "text/html"), ("[1]", "application/json"), ('{"a": 1}', "application/json"), ("", "text/plain")],
)
def test_the_content_type_of_a_raw_reply_follows_from_its_body(body: str, content_type: str) -> None:
    assert _ask(_rule(f"answer = 'raw'\nstatus = 400\nbody = '{body}'")).content_type == content_type


@pytest.mark.parametrize("word", sorted(PAGES.keys() - {"200_page"}))
def test_a_gateway_sends_neither_the_ids_nor_the_limits_of_the_api(word: str) -> None:
    simulation = _rule(f"answer = '{word}'")
    reply = _ask(simulation)
    assert reply.status == int(word[:3])
    assert not {name for name in reply.headers if name.startswith(("request-id", "anthropic"))}
    assert _billed(simulation) == 0


def test_a_redirect_has_its_location_and_an_edge_its_name() -> None:
    assert _ask(_rule("answer = 308\nlocation = 'https://here.example/'")).headers == {
        "location": "https://here.example/"
    }
    blocked = _ask(_rule("answer = '403_page'"))
    assert (blocked.headers["server"], blocked.content_type) == ("cloudflare", "text/html")


def test_a_page_of_a_proxy_may_hide_a_purchase() -> None:
    simulation = _rule("answer = '524_page'\nbilled = true")
    assert _ask(simulation).status == 524
    assert _billed(simulation) > 0


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("400_context_limit", "input length and `max_tokens` exceed context limit: 8 + 300 > 1000000, decrease input"),
        ("400_disabled", "This organization has been disabled."),
        ("400_output_filter", "Output blocked by content filtering policy"),
        ("403_model", "Your API key does not have access to the model claude-opus-4-7."),
        ("409", "The connection was closed before the reply was complete."),
    ],
)
def test_an_error_of_the_api_names_what_the_request_holds(word: str, message: str) -> None:
    reply = _ask(_rule(f"answer = '{word}'"))
    assert reply.status == int(word[:3])
    assert json.loads(reply.body)["error"]["message"].startswith(message)


def test_a_long_answer_takes_its_time() -> None:
    rule = "[[rules]]\nanswer = 'ok'\nusage = {output_tokens = 7000}\n"
    assert _ask(_simulation(f"tokens_per_s = 50\n{rule}")).delay_s == 140
    assert _ask(_simulation(f"tokens_per_s = 50\n{rule}tokens_per_s = 700")).delay_s == 10
    assert _ask(_simulation("tokens_per_s = 50\n[[rules]]\nanswer = 529")).delay_s == 0


@pytest.mark.parametrize("name", ["odd_turns", "gateways"])
def test_each_word_of_an_example_script_meets_its_rule(name: str) -> None:
    path = Path(__file__).parents[4] / "producer" / "simulator" / "scripts" / f"{name}.toml"
    script = parse_script(path.read_text(encoding="utf-8"))
    for rule in script.rules:
        simulation = Simulation(script=script, log=PurchaseLog(), clock=lambda: 1_000.0)
        _ask(simulation, f"About {rule.prompt_contains}.", model=min(rule.models))
        assert simulation.log.read()[-1]["rule"] == rule.number
