"""From an OpenAI batch line to a prompt: what has an equal in the Messages API is mapped, all else is refused."""

import json
from collections.abc import Mapping, Sequence
from reprlib import repr as shown
from typing import Any

from models.errors import InputError
from producer.files.chat_messages import Unmapped, mapped_messages
from producer.files.formats import Record
from producer.files.shapes import Recipe, as_columns
from producer.prompt import Prompt

URL = "/v1/chat/completions"
_LINE = ("custom_id", "method", "url", "body")
_SAME = ("temperature", "top_p")  # by the same name in both; theirs reaches 2, ours 1
_MOST_STOPS = 4
# What says no more than the default does is left out; anything else changes the answer, and would be lost in silence.
_DEFAULTS: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "stream": (False,),
    "stream_options": (),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "response_format": ({"type": "text"},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "reasoning_effort": (),
    "verbosity": ("medium",),
    "seed": (),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "web_search_options": (),
}
_BATCHES = "write such prompts as message-batch lines (custom_id, params)"
_FIXES: Mapping[str, str] = {
    "n": "a prompt has one answer: leave it out, and write a line for each answer",
    "stream": "an answer comes back whole: leave it out",
    "stream_options": "an answer comes back whole: leave it out",
    "logprobs": "the Messages API tells none: leave it out",
    "top_logprobs": "the Messages API tells none: leave it out",
    "response_format": "ask for JSON in the prompt, and hold answers to it with --json-schema",
    "tools": f"tools of another API are not mapped: {_BATCHES}",
    "functions": f"tools of another API are not mapped: {_BATCHES}",
    "tool_choice": f"tools of another API are not mapped: {_BATCHES}",
    "function_call": f"tools of another API are not mapped: {_BATCHES}",
    "modalities": "an answer is text: leave it out",
    "audio": "an answer is text: leave it out",
    "reasoning_effort": f"it is set by other words for each model: leave it out, or {_BATCHES}",
}
_NO_EQUAL = "the Messages API has no equal: leave it out"
_UNHEEDED = frozenset({"prompt_cache_key", "prompt_cache_retention"})  # where a cache is looked for changes no answer
_KNOWN = frozenset({
    "model", "messages", "max_tokens", "max_completion_tokens", "stop", "user", "safety_identifier", "metadata",
    *_SAME, *_DEFAULTS, *_UNHEEDED,
})  # fmt: skip


def chat_completion(record: Record, recipe: Recipe) -> Prompt | InputError:
    """Make a prompt of an OpenAI batch line; its `model` says where to start only where the chain has it."""
    try:
        body = _body(record.fields)
        return Prompt(id=_custom_id(record.fields), params=_params(body, recipe), columns=_columns(record.fields, body))
    except Unmapped as unmapped:
        return InputError(unmapped.problem, source=recipe.source, line=record.line, field=unmapped.field)


def _body(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    if fields.get("method", "POST") != "POST":
        raise Unmapped("method", f"{shown(fields['method'])} should be 'POST'")
    if fields.get("url") != URL:
        raise Unmapped("url", f"{shown(fields.get('url'))} should be {URL!r}: no other endpoint is mapped")
    body = fields.get("body")
    if not isinstance(body, dict):
        raise Unmapped("body", f"{shown(body)} should be an object of chat completion parameters")
    said = {name: value for name, value in body.items() if value is not None}
    for name, value in said.items():
        if name not in _KNOWN:
            raise Unmapped(f"body.{name}", f"is not known here: leave it out, or {_BATCHES}")
        if name in _DEFAULTS and not _is_default(name, value):
            raise Unmapped(f"body.{name}", f"{shown(value)} cannot be mapped; {_FIXES.get(name, _NO_EQUAL)}")
    return said


def _is_default(name: str, value: object) -> bool:
    # True is 1 to Python, and {"n": true} is no number.
    return any(value == usual and isinstance(value, bool) == isinstance(usual, bool) for usual in _DEFAULTS[name])


def _custom_id(fields: Mapping[str, Any]) -> str:
    custom_id = fields.get("custom_id")
    if not (isinstance(custom_id, str) and custom_id.strip()):
        raise Unmapped("custom_id", f"{shown(custom_id)} should be text")
    return custom_id


def _params(body: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    params: dict[str, Any] = {"max_tokens": _max_tokens(body, recipe), **mapped_messages(body.get("messages"))}
    params |= {name: _share(name, body[name]) for name in _SAME if name in body}
    if stops := _stops(body.get("stop")):
        params["stop_sequences"] = stops
    if user := body.get("safety_identifier", body.get("user")):
        params["metadata"] = {"user_id": _text("user", user)}
    model = body.get("model")
    if model in recipe.models:
        params["model"] = model
    elif model is not None:
        recipe.unheeded_models.add(_text("model", model))
    return params


def _max_tokens(body: Mapping[str, Any], recipe: Recipe) -> object:
    given = [body[name] for name in ("max_completion_tokens", "max_tokens") if name in body]
    if len(given) > 1 and given[0] != given[1]:
        raise Unmapped("body.max_tokens", f"{shown(given[1])} beside max_completion_tokens {shown(given[0])}: give one")
    return given[0] if given else recipe.default_max_tokens


def _share(name: str, value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise Unmapped(f"body.{name}", f"{shown(value)} should be from 0 to 1, as the Messages API has it")
    return value


def _stops(stop: object) -> Sequence[str]:
    stops = [] if stop is None else [stop] if isinstance(stop, str) else stop
    are_texts = isinstance(stops, list) and all(isinstance(one, str) and one.strip() for one in stops)
    if not (isinstance(stops, list) and are_texts and len(stops) <= _MOST_STOPS):
        problem = f"{shown(stop)} should be text, or at most {_MOST_STOPS} texts, each with a visible character"
        raise Unmapped("body.stop", problem)
    return stops


def _text(field: str, value: object) -> str:
    if not (isinstance(value, str) and value.strip()):
        raise Unmapped(f"body.{field}", f"{shown(value)} should be text, or be left out")
    return value


def _columns(fields: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, str]:
    """Keep what stands beside the body, and its metadata, which is never sent: they come back with the answer."""
    others = {name: value for name, value in fields.items() if name not in _LINE}
    if body.get("metadata"):
        others.setdefault("metadata", json.dumps(body["metadata"], ensure_ascii=False))
    return as_columns(others)
