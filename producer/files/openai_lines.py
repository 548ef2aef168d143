"""Makes a prompt of an OpenAI batch line: fields with an equal in the Messages API are mapped, others refused."""

import json
import re
from collections.abc import Mapping, Sequence
from itertools import takewhile
from reprlib import repr as shown
from typing import Any

from models.errors import InputError
from producer.files.record_to_prompt import SourceOptions, as_columns
from producer.files.records import Record
from producer.prompt.prompt import Prompt

_SYSTEM = ("system", "developer")
_ROLES = (*_SYSTEM, "user", "assistant")
_DATA_URL = re.compile(r"data:(image/(?:jpeg|png|gif|webp));base64,([A-Za-z0-9+/=\s]+)")
_DETAILS = ("auto", "high")  # an image is always read in full
_IMAGES = "an https: URL, or data:image/jpeg, png, gif or webp;base64,..."


URL = "/v1/chat/completions"
_LINE = ("custom_id", "method", "url", "body")
_SAME = ("temperature", "top_p")  # by the same name in both; theirs reaches 2, ours 1
_MOST_STOPS = 4
_BATCHES = "write such prompts as message-batch lines (custom_id, params)"
_NO_EQUAL = "the Messages API has no equal: leave it out"
_WHOLE = "an answer comes back whole: leave it out"
_NO_ODDS = "the Messages API tells none: leave it out"
_TOOLS = f"tools of another API are not mapped: {_BATCHES}"
_TEXT_ALONE = "an answer is text: leave it out"
# A field at one of these values is left out. Any other value changes the answer, and is refused with the fix.
_DEFAULTS: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "n": ((1,), "a prompt has one answer: leave it out, and write a line for each answer"),
    "stream": ((False,), _WHOLE),
    "stream_options": ((), _WHOLE),
    "logprobs": ((False,), _NO_ODDS),
    "top_logprobs": ((0,), _NO_ODDS),
    "presence_penalty": ((0,), _NO_EQUAL),
    "frequency_penalty": ((0,), _NO_EQUAL),
    "logit_bias": (({},), _NO_EQUAL),
    "response_format": (({"type": "text"},), "ask for JSON in the prompt, and hold answers to it with --json-schema"),
    "tools": (([],), _TOOLS),
    "tool_choice": (("none", "auto"), _TOOLS),
    "parallel_tool_calls": ((True, False), _NO_EQUAL),
    "functions": (([],), _TOOLS),
    "function_call": (("none", "auto"), _TOOLS),
    "modalities": ((["text"],), _TEXT_ALONE),
    "audio": ((), _TEXT_ALONE),
    "prediction": ((), _NO_EQUAL),
    "reasoning_effort": ((), f"it is set by other words for each model: leave it out, or {_BATCHES}"),
    "verbosity": (("medium",), _NO_EQUAL),
    "seed": ((), _NO_EQUAL),
    "service_tier": (("auto", "default"), _NO_EQUAL),
    "store": ((False,), _NO_EQUAL),
    "web_search_options": ((), _NO_EQUAL),
}
_IGNORED = frozenset({"prompt_cache_key", "prompt_cache_retention"})  # the place of a cache changes no answer
_KNOWN = frozenset({
    "model", "messages", "max_tokens", "max_completion_tokens", "stop", "user", "safety_identifier", "metadata",
    *_SAME, *_DEFAULTS, *_IGNORED,
})  # fmt: skip


class Unmapped(Exception):  # noqa: N818 - no error of ours: a line that cannot be mapped, and why
    """A field that has no equal, and the fix."""

    def __init__(self, field: str, problem: str) -> None:
        self.field, self.problem = field, problem
        super().__init__(f"{field}: {problem}")


def mapped_messages(messages: object) -> dict[str, Any]:
    """Map messages: leading messages of the system become `system`; later messages keep their places.

    >>> mapped_messages([{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Why?"}])
    {'system': 'Be brief.', 'messages': [{'role': 'user', 'content': 'Why?'}]}
    """
    if not isinstance(messages, list) or not messages:
        raise Unmapped("body.messages", f"{shown(messages)} should be a list of at least one message")
    mapped = [_message(message, f"body.messages[{index}]") for index, message in enumerate(messages)]
    first = len([*takewhile(lambda message: message["role"] == "system", mapped)])
    if first == len(mapped):
        raise Unmapped("body.messages", "holds no message of the user, which is what is answered")
    system = {"system": "\n\n".join(_joined(message["content"]) for message in mapped[:first])} if first else {}
    return {**system, "messages": mapped[first:]}


def _message(message: object, field: str) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise Unmapped(field, f"{shown(message)} should be an object with role and content")
    role = message.get("role")
    if role in ("tool", "function"):  # no set: `role` may be a list
        raise Unmapped(f"{field}.role", f"{role!r}: results of another API's tools are not mapped")
    if role not in _ROLES:
        raise Unmapped(f"{field}.role", f"{shown(role)} should be one of {', '.join(_ROLES)}")
    for name, value in message.items():
        if name not in {"role", "content"} and value not in (None, []):
            raise Unmapped(f"{field}.{name}", _why_not(name))
    ours = "system" if role in _SYSTEM else str(role)
    return {"role": ours, "content": _content(message.get("content"), f"{field}.content", role=ours)}


def _why_not(name: str) -> str:
    if name in {"tool_calls", "function_call", "tool_call_id"}:
        return "tools of another API are not mapped"
    return "has no equal: write the name into the text" if name == "name" else "has no equal: leave it out"


def _content(content: object, field: str, *, role: str) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        if not content.strip():
            raise Unmapped(field, "is empty; the API refuses a message without text")
        return content
    if not isinstance(content, list) or not content:
        raise Unmapped(field, f"{shown(content)} should be text or a list of content parts")
    return [_part(part, f"{field}[{index}]", role=role) for index, part in enumerate(content)]


def _part(part: object, field: str, *, role: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(part, dict) or not isinstance(kind, str):
        raise Unmapped(field, f"{shown(part)} should be an object with a type")
    if kind == "text":
        if not (isinstance(part.get("text"), str) and part["text"].strip()):
            raise Unmapped(f"{field}.text", "is empty; the API refuses a text block without text")
        return {"type": "text", "text": part["text"]}
    if kind == "image_url" and role == "user":
        return {"type": "image", "source": _image(part.get("image_url"), f"{field}.image_url")}
    right = "text or image_url" if role == "user" else "text"
    raise Unmapped(f"{field}.type", f"{shown(kind)} cannot be mapped; right is {right}")


def _image(image: object, field: str) -> dict[str, str]:
    if not isinstance(image, dict):
        raise Unmapped(field, f"{shown(image)} should be an object with a url")
    if image.get("detail") not in (None, *_DETAILS):
        problem = f"{shown(image['detail'])} has no equal, an image is read in full: leave it out"
        raise Unmapped(f"{field}.detail", problem)
    url = image.get("url")
    if isinstance(url, str) and url.startswith("https://"):
        return {"type": "url", "url": url}
    found = _DATA_URL.fullmatch(url) if isinstance(url, str) else None
    if found is None:
        raise Unmapped(f"{field}.url", f"{shown(url)} should be {_IMAGES}")
    return {"type": "base64", "media_type": found[1], "data": "".join(found[2].split())}


def _joined(content: str | list[Mapping[str, Any]]) -> str:
    return content if isinstance(content, str) else "\n".join(str(part["text"]) for part in content)


def chat_completion(record: Record, recipe: SourceOptions) -> Prompt | InputError:
    """Make a prompt of an OpenAI batch line; `model` is the start only if the chain has that model."""
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
    message = {name: value for name, value in body.items() if value is not None}
    for name, value in message.items():
        if name not in _KNOWN:
            raise Unmapped(f"body.{name}", f"is not known here: leave it out, or {_BATCHES}")
        if name in _DEFAULTS and not _is_default(name, value):
            raise Unmapped(f"body.{name}", f"{shown(value)} cannot be mapped; {_DEFAULTS[name][1]}")
    return message


def _is_default(name: str, value: object) -> bool:
    # True is 1 to Python, and {"n": true} is no number.
    return any(value == usual and isinstance(value, bool) == isinstance(usual, bool) for usual in _DEFAULTS[name][0])


def _custom_id(fields: Mapping[str, Any]) -> str:
    custom_id = fields.get("custom_id")
    if not (isinstance(custom_id, str) and custom_id.strip()):
        raise Unmapped("custom_id", f"{shown(custom_id)} should be text")
    return custom_id


def _params(body: Mapping[str, Any], recipe: SourceOptions) -> dict[str, Any]:
    params: dict[str, Any] = {"max_tokens": _max_tokens(body, recipe), **mapped_messages(body.get("messages"))}
    params |= {name: _share(name, body[name]) for name in _SAME if name in body}
    if stops := _stops(body.get("stop")):
        params["stop_sequences"] = stops
    if user := body.get("safety_identifier", body.get("user")):
        params["metadata"] = {"user_id": _text("user", user)}
    model = body.get("model")
    if model in recipe.form.models:
        params["model"] = model
    elif model is not None:
        recipe.ignored_models.add(_text("model", model))
    return params


def _max_tokens(body: Mapping[str, Any], recipe: SourceOptions) -> object:
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
    """Return the fields beside the body, and the body's metadata: not sent, but returned with the answer."""
    others = {name: value for name, value in fields.items() if name not in _LINE}
    if body.get("metadata"):
        others.setdefault("metadata", json.dumps(body["metadata"], ensure_ascii=False))
    return as_columns(others)
