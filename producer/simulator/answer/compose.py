"""Generated answers, and the JSON that spells them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from producer.simulator.account.billing import Usage, honest
from producer.simulator.answer.wording import summary_of
from producer.simulator.request.catalog import Model, find
from producer.simulator.request.prompt import BYTES_PER_TOKEN, Prompt, tokens_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from producer.simulator.account.cache import Split
    from producer.simulator.answer.draw import Draw
    from producer.simulator.answer.rule import Rule


_Block = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A generated answer. The provider charges `usage`, and the caller receives the counters `told`.

    `is_free`: nothing was generated, as before a refusal.
    """

    blocks: Sequence[_Block]
    stop_reason: str | None
    served: Model
    usage: Usage
    told: Mapping[str, Any]
    is_free: bool


def generate(prompt: Prompt, rule: Rule, split: Split, draw: Draw, tier: str = "standard") -> Generated:
    """Let the model of the rule answer the prompt; the same draw gives the same text."""
    # Without a token to write the prompt goes into the cache, and nothing is generated.
    blocks, stop_reason = _content(prompt, rule, draw) if prompt.max_tokens else ([], "max_tokens")
    is_free = rule.answer.word == "refusal" and not rule.output
    times = 10 if rule.answer.word == "usage_x10" else 1
    is_paused = stop_reason == "pause_turn"
    usage = Usage(
        input=split.uncached * times,
        output=0 if is_free or not prompt.max_tokens else _output_tokens(prompt, rule, blocks) * times,
        cache_read=split.read * times,
        write_5m=split.write_5m * times,
        write_1h=split.write_1h * times,
        web_searches=rule.web_searches or int(is_paused),
        service_tier=rule.service_tier or tier,
        further=tuple(
            (each["type"], each.get("model"), each["input_tokens"], each["output_tokens"]) for each in rule.iterations
        ),
        geo="us" if rule.answer.word == "geo_us" or prompt.body.get("inference_geo") == "us" else "global",
    )
    told = {**usage.as_api(), **rule.usage}
    return Generated(
        blocks=blocks,
        stop_reason=rule.message.get("stop_reason", stop_reason),
        served=find(rule.served_model) or prompt.model,
        usage=honest(rule.usage, usage, ttl=prompt.ttl),
        told={name: value for name, value in told.items() if name not in rule.without},
        is_free=is_free,
    )


def stopped(generated: Generated, sent: int, events: int) -> Generated:
    """Return an answer whose stream breaks after some of its events: no more is written, and charged.

    An answer that is not streamed was written as a whole.
    """
    output = generated.usage.output
    written = max(min(1, output), output * min(sent, events) // events) if events else output
    return replace(generated, usage=replace(generated.usage, output=written))


def _output_tokens(prompt: Prompt, rule: Rule, blocks: Sequence[_Block]) -> int:
    if rule.answer.word == "thinking_only":
        return prompt.max_tokens
    return tokens_of(sum(len(block["text"]) if block["type"] == "text" else len(json.dumps(block)) for block in blocks))


def _content(prompt: Prompt, rule: Rule, draw: Draw) -> tuple[list[_Block], str | None]:
    """Return the blocks of an answer, without ids, and its stop reason."""
    match rule.answer.word:
        case "tool_use":
            words = [_text_block(rule.text)] if rule.text else []
            return [*words, {"type": "tool_use", "name": rule.tool, "input": rule.tool_input}], "tool_use"
        case "pause_turn" if not prompt.is_continued:
            search = {"type": "server_tool_use", "name": "web_search", "input": {"query": prompt.text[:40]}}
            return [_text_block("I will look that up."), search], "pause_turn"
        case "thinking_only":
            thought = {"type": "thinking", "thinking": summary_of(prompt.text, draw), "signature": draw.token("sign")}
            return [thought], "max_tokens"
        case "empty_turn":
            return [], "end_turn"
        case "refusal" if not rule.output:
            return [], "refusal"
    text, stop_reason = _text(prompt, rule, draw)
    return [_text_block(text)], rule.stop_reason if rule.answer.word == "odd_stop" else stop_reason


def _text(prompt: Prompt, rule: Rule, draw: Draw) -> tuple[str, str]:
    room = max(1, min(prompt.max_tokens, prompt.model.context - prompt.tokens)) * BYTES_PER_TOKEN
    text = rule.text if rule.answer.word == "text" else summary_of(prompt.text, draw)
    match rule.answer.word:
        case "refusal":
            return _first_half(text[:room]), "refusal"
        case "context_exceeded":
            return _first_half(text[:room]), "model_context_window_exceeded"
        case "max_tokens":
            full = prompt.max_tokens * BYTES_PER_TOKEN
            return (f"{text} " * (full // (len(text) + 1) + 1))[:full], "max_tokens"
    if len(text) <= room:
        return text, "end_turn"
    cut_by_caller = room == prompt.max_tokens * BYTES_PER_TOKEN
    return text[:room], "max_tokens" if cut_by_caller else "model_context_window_exceeded"


def _text_block(text: str) -> _Block:
    return {"type": "text", "text": text}


def _first_half(text: str) -> str:
    return text[: (len(text) + 1) // 2]


_IDS = {"tool_use": "toolu_", "server_tool_use": "srvtoolu_"}


def message_json(generated: Generated, rule: Rule, message_id: str, *, with_usage: bool = True) -> bytes:
    """Spell an answer as the API does; ASCII only, so that NUL and lone surrogates travel as escapes."""
    message: dict[str, object] = {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": generated.served.id,
        "content": [_with_id(block, message_id) for block in generated.blocks],
        "stop_reason": generated.stop_reason,
        "stop_sequence": None,
        "stop_details": None,
    }
    if generated.stop_reason == "refusal":
        message["stop_details"] = {"type": "refusal", "category": rule.category, "explanation": rule.explanation}
    if with_usage:
        message["usage"] = generated.told
    return json.dumps({**message, **rule.message}, separators=(",", ":")).encode()


def _with_id(block: _Block, message_id: str) -> _Block:
    start = _IDS.get(block["type"])
    return {"type": block["type"], "id": message_id.replace("msg_", start), **block} if start else block
