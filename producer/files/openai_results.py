"""Lays out an answer as a line of OpenAI's batch output: a chat completion, or an error."""

import json
from collections.abc import Mapping
from typing import Any

from models.job.answer import Answer
from models.outcome import State

# Source: the batch and chat completion objects of OpenAI's API, as a real output file holds them.
_FINISH: Mapping[str | None, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_READ = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")  # disjoint in the Messages API


def batch_output(answer: Answer) -> dict[str, Any]:
    """Lay out a line; `request_id` is the id of the job, which `stepdown job` takes."""
    response = None
    if answer.message is not None:
        body = _completion(answer.message, answer)
        response = {"status_code": 200, "request_id": answer.job_id, "body": body}
    return {
        "id": f"batch_req_{answer.job_id}",
        "custom_id": answer.id,
        "response": response,
        "error": _error(answer) if response is None else None,
    }


def _completion(message: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    refused = message.get("stop_reason") == "refusal"
    text: dict[str, Any] = {"role": "assistant", "content": answer.text or None, "refusal": None}
    if calls := [_call(block) for block in message["content"] if block.get("type") == "tool_use"]:
        text["tool_calls"] = calls
    if refused:
        text |= {"content": None, "refusal": answer.text or "the model refused"}
    choice = {
        "index": 0,
        "message": text,
        "logprobs": None,
        "finish_reason": _FINISH.get(message.get("stop_reason"), "stop"),
    }
    return {
        "id": f"chatcmpl-{message.get('id')}",
        "object": "chat.completion",
        "created": 0 if answer.finished_at is None else int(answer.finished_at.timestamp()),
        "model": message.get("model") or answer.model,
        "choices": [choice],
        "usage": _usage(message.get("usage") or {}),
        "system_fingerprint": None,
    }


def _call(block: Mapping[str, Any]) -> dict[str, Any]:
    asked = {"name": block.get("name"), "arguments": json.dumps(block.get("input") or {})}
    return {"id": block.get("id"), "type": "function", "function": asked}


def _usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    read, written = sum(usage.get(name) or 0 for name in _READ), usage.get("output_tokens") or 0
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": usage.get("cache_read_input_tokens") or 0},
    }


def _error(answer: Answer) -> dict[str, str]:
    if answer.state is State.CANCELLED:
        return {"code": "batch_cancelled", "message": "the job was cancelled before it was answered"}
    word = answer.outcome or str(answer.state)
    return {"code": "batch_expired" if word == "expired" else word, "message": answer.why_none}
