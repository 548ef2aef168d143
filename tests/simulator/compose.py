"""What a model would have generated for a prompt, and the JSON that says so."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.simulator.billing import Usage
from tests.simulator.catalog import Model, find
from tests.simulator.prompt import CHARACTERS_PER_TOKEN, Prompt, tokens_of
from tests.simulator.wording import summary_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.simulator.cache import Split
    from tests.simulator.draw import Draw
    from tests.simulator.script import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """One answer: `text` is None where nothing was generated before a refusal; `tool` is the tool it asks for."""

    text: str | None
    tool: Mapping[str, Any] | None = None
    stop_reason: str
    served: Model
    usage: Usage


def generate(prompt: Prompt, rule: Rule, split: Split, draw: Draw) -> Generated:
    """Let the model of the rule answer the prompt; the same draw gives the same text."""
    text, stop_reason = _text(prompt, rule, draw)
    tool = {"name": rule.tool, "input": rule.tool_input} if rule.tool else None
    times = 10 if rule.answer.word == "usage_x10" else 1
    usage = Usage(
        input=split.uncached * times,
        output=0 if text is None else tokens_of(len(text) + (len(json.dumps(tool)) if tool else 0)) * times,
        cache_read=split.read * times,
        write_5m=split.write_5m * times,
        write_1h=split.write_1h * times,
        web_searches=rule.web_searches,
        service_tier=rule.service_tier or "standard",
        further=tuple(
            (each["type"], each.get("model"), each["input_tokens"], each["output_tokens"]) for each in rule.iterations
        ),
        geo="us" if rule.answer.word == "geo_us" or prompt.body.get("inference_geo") == "us" else "global",
    )
    served = find(rule.served_model) or prompt.model
    return Generated(text=text, tool=tool, stop_reason=stop_reason, served=served, usage=usage)


def _text(prompt: Prompt, rule: Rule, draw: Draw) -> tuple[str | None, str]:
    room = max(1, min(prompt.max_tokens, prompt.model.context - prompt.tokens)) * CHARACTERS_PER_TOKEN
    text = rule.text if rule.answer.word == "text" else summary_of(prompt.text, draw)
    match rule.answer.word:
        case "tool_use":
            return rule.text, "tool_use"
        case "refusal":
            return (_first_half(text[:room]), "refusal") if rule.output else (None, "refusal")
        case "context_exceeded":
            return _first_half(text[:room]), "model_context_window_exceeded"
        case "max_tokens":
            full = prompt.max_tokens * CHARACTERS_PER_TOKEN
            return (f"{text} " * (full // (len(text) + 1) + 1))[:full], "max_tokens"
    if len(text) <= room:
        return text, "end_turn"
    cut_by_caller = room == prompt.max_tokens * CHARACTERS_PER_TOKEN
    return text[:room], "max_tokens" if cut_by_caller else "model_context_window_exceeded"


def _first_half(text: str) -> str:
    return text[: (len(text) + 1) // 2]


def _blocks(generated: Generated, message_id: str) -> Iterator[dict[str, object]]:
    if generated.text or (generated.text is not None and generated.tool is None):
        yield {"type": "text", "text": generated.text}
    if generated.tool is not None:
        yield {"type": "tool_use", "id": message_id.replace("msg_", "toolu_"), **generated.tool}


def message_json(generated: Generated, message_id: str, *, with_usage: bool = True) -> bytes:
    """Spell an answer as the API does; ASCII only, so that NUL and lone surrogates travel as escapes."""
    message: dict[str, object] = {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": generated.served.id,
        "content": list(_blocks(generated, message_id)),
        "stop_reason": generated.stop_reason,
        "stop_sequence": None,
        "stop_details": None,
    }
    if generated.stop_reason == "refusal":
        message["stop_details"] = {"type": "refusal", "category": None, "explanation": None}
    if with_usage:
        message["usage"] = generated.usage.as_api()
    return json.dumps(message, separators=(",", ":")).encode()
