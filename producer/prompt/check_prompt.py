"""Checks of a prompt from any source, made before anything is queued or bought."""

import json
from collections.abc import Iterator, Mapping
from reprlib import repr as shown
from typing import Any, TypeAlias

from models.callers import key_problem
from models.chain.capabilities import headers_problem
from models.errors import InputError
from producer.prompt.check_params import field_problem
from producer.prompt.prompt import Prompt

MAX_REQUEST_BYTES = 32 * 1024 * 1024  # the API answers 413 above this size
MAX_ID_LENGTH = 200  # of names, keys, tasks and tags too: the width of their columns in the ledger
MOST_TOKENS = 10_000_000  # a hundred times the longest answer of any model
_ROLES = ("user", "assistant", "system")
_NAMES = ("id", "task", "start", "floor", "ceiling")
_KEPT = {"id": "an id", "task": "a task", "name": "a name", "key": "a key", "tags": "a tag"}
_LONGEST_ESCAPE = 6  # the most bytes of one character in JSON, as in \u0001
_as_ascii_json = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
_as_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_Problem: TypeAlias = tuple[str, str]  # the field, and its problem


def check(prompt: Prompt, *, source: str, line: int | None, fills_cache: bool = False) -> InputError | None:
    """Return the first mistake that keeps a prompt from being queued. Returns None if there is no mistake.

    With `fills_cache` a max_tokens of 0 is right: the API reads such a prompt into its cache, and answers nothing.
    """
    least = 0 if fills_cache else 1
    problem = (
        _names_problem(prompt)
        or _columns_problem(prompt.columns)
        or (_text_problem(prompt) if prompt.params is None else _params_problem(prompt.params, least))
        or _written_problem(prompt)
        or (None if prompt.params is None else field_problem(prompt.params))
        or (headers_problem(prompt.headers) if prompt.headers else None)
    )
    return None if problem is None else InputError(problem[1], source=source, line=line, field=problem[0])


def check_labels(*, tags: Mapping[str, str], **labels: str | None) -> InputError | None:
    """Return the first mistake in a batch's name, key, task or tags. Returns None if there is no mistake.

    Labels come from people and pipelines alike: text that Postgres would refuse is refused on SQLite too.
    """
    for field, value in labels.items():
        if value is not None and (problem := _label_problem(field, value)):
            return InputError(problem, source="submit", field=field)
    if (key := labels.get("key")) is not None and (problem := key_problem(key)):
        return InputError(problem, source="submit", field="key")
    for name, value in tags.items():
        if problem := _label_problem("tags", name) or _label_problem("tags", value, may_be_blank=True):
            return InputError(f"{shown(name)}: {problem}", source="submit", field="tags")
    return None


def check_id(prompt: Prompt, *, position: int, source: str, line: int, used: dict[str, int]) -> InputError | None:
    """Refuse an id that an earlier line of the same batch has; `used` remembers each id's line.

    `position` counts the batch's prompts from 1, and is the id of a prompt without an id.
    """
    first = used.setdefault(prompt.id or str(position), line)
    if first == line:
        return None
    if prompt.id is None:
        problem = f"missing, and its position, {position}, is the id of line {first}; give every prompt an id"
    else:
        problem = f"{shown(prompt.id)} is the id of line {first} already; ids are unique in a batch"
    return InputError(problem, source=source, line=line, field="id")


def _names_problem(prompt: Prompt) -> _Problem | None:
    for name, value in zip(_NAMES, _named(prompt), strict=True):
        if value is not None and _blank(value):
            return name, f"{shown(value)} should be text, or be left out"
    return _length_problem("id", prompt.id or "") or _length_problem("task", prompt.task or "")


def _named(prompt: Prompt) -> tuple[str | None, ...]:
    return prompt.id, prompt.task, prompt.start, prompt.floor, prompt.ceiling


def _label_problem(field: str, value: object, *, may_be_blank: bool = False) -> str | None:
    if not isinstance(value, str) or (_blank(value) and not may_be_blank):
        return f"{shown(value)} should be text, or be left out"
    problem = _length_problem(field, value) or (None if _is_storable(value) else _character_problem(field, value))
    return problem and problem[1]


def _length_problem(field: str, text: str) -> _Problem | None:
    if len(text) <= MAX_ID_LENGTH:
        return None
    return field, f"has {len(text)} characters; {_KEPT[field]} has at most {MAX_ID_LENGTH}"


def _columns_problem(columns: Mapping[Any, Any]) -> _Problem | None:
    for name, value in columns.items():
        if not (isinstance(name, str) and isinstance(value, str)):
            return "columns", f"{shown(name)}: {shown(value)} should be text named by text"
    return None


def _text_problem(prompt: Prompt) -> _Problem | None:
    system: object = prompt.system
    if _blank(prompt.text):
        return "prompt", f"{shown(prompt.text)} should be text with at least one visible character"
    if not (system is None or isinstance(system, str)):
        return "system", f"{shown(system)} should be text, or be left out"
    return _max_tokens_problem(prompt.max_tokens, 1)


def _params_problem(params: object, least: int) -> _Problem | None:
    if not isinstance(params, Mapping):
        return "params", f"{shown(params)} should be an object of Messages API parameters"
    if params.get("stream"):
        return "stream", "true cannot be queued, an answer comes back whole; leave it out"
    if "model" in params and _blank(params["model"]):
        return "model", f"{shown(params['model'])} should be the name of a model, or be left out"
    if "max_tokens" not in params:
        return "max_tokens", "missing; give the most output tokens the answer may have"
    return _max_tokens_problem(params["max_tokens"], least) or _messages_problem(params.get("messages"))


def _max_tokens_problem(value: object, least: int) -> _Problem | None:
    if type(value) is not int or value < least:
        return "max_tokens", f"{shown(value)} should be a whole number, {least} or more"
    return None if value <= MOST_TOKENS else ("max_tokens", f"{shown(value)} is more than any model writes")


def _messages_problem(messages: object) -> _Problem | None:
    if not isinstance(messages, list | tuple) or not messages:
        return "messages", f"{shown(messages)} should be a list of at least one message"
    for index, message in enumerate(messages):
        field = f"messages[{index}]"
        if not isinstance(message, Mapping):
            return field, f"{shown(message)} should be an object with role and content"
        if message.get("role") not in _ROLES:
            return f"{field}.role", f"{shown(message.get('role'))} should be one of {', '.join(_ROLES)}"
        is_begun_answer = index == len(messages) - 1 and message["role"] == "assistant"
        if message.get("content") == "" and is_begun_answer:
            continue
        if problem := _content_problem(message.get("content"), f"{field}.content"):
            return problem
    return None


def _content_problem(content: object, field: str) -> _Problem | None:
    if isinstance(content, str):
        return (field, "is empty; the API refuses a message without text") if _blank(content) else None
    if not isinstance(content, list | tuple) or not content:
        return field, f"{shown(content)} should be text or a list of content blocks"
    for index, block in enumerate(content):
        if not isinstance(block, Mapping) or _blank(block.get("type")):
            return f"{field}[{index}]", f"{shown(block)} should be an object with a type"
        if block["type"] == "text" and _blank(block.get("text")):
            return f"{field}[{index}].text", "is empty; the API refuses a text block without text"
    return None


def _written_problem(prompt: Prompt) -> _Problem | None:
    """Return the first text that cannot be stored, or a size above the limit. Only a suspicion causes a walk."""
    own = [*prompt.columns, *prompt.columns.values(), *filter(None, _named(prompt))]
    try:
        if prompt.params is None:
            own += prompt.text, prompt.system or ""
            written = ""
        else:
            written = _as_ascii_json(dict(prompt.params))
    except (TypeError, ValueError, RecursionError) as error:
        return "params", f"cannot be written as JSON: {error}"
    joined = "".join(own)
    if not _is_storable(joined) or r"\u0000" in written or r"\ud" in written:
        for field, text in (*_own_texts(prompt), *_strings(prompt.params, "")):
            if not _is_storable(text):
                return _character_problem(field, text)
    longest = _LONGEST_ESCAPE * len(joined) + len(written)
    return _size_problem(prompt) if longest > MAX_REQUEST_BYTES // 2 else None


def _own_texts(prompt: Prompt) -> list[tuple[str, str]]:
    """List the texts outside `params`, with their fields; a column's name is its field."""
    texts = [*prompt.columns.items(), ("columns", "".join(prompt.columns))]
    if prompt.params is None:
        texts += [("prompt", prompt.text), ("system", prompt.system or "")]
    return texts + [(name, text) for name, text in zip(_NAMES, _named(prompt), strict=True) if text]


def _is_storable(text: str) -> bool:
    """Return whether every database stores the text: neither a NUL nor half a surrogate."""
    try:
        return "\0" not in text and (text.isascii() or bool(text.encode()))
    except UnicodeEncodeError:
        return False


def _character_problem(field: str, text: str) -> _Problem:
    where = next(index for index, character in enumerate(text) if not _is_storable(character))
    kind = "a NUL character" if text[where] == "\0" else f"half a surrogate pair ({ascii(text[where])[1:-1]})"
    return ascii(field)[1:-1], f"holds {kind} at character {where + 1}; remove it"


def _strings(value: object, field: str) -> Iterator[tuple[str, str]]:
    match value:
        case str():
            yield field, value
        case Mapping():
            for name, item in value.items():
                yield field or "params", str(name)
                yield from _strings(item, f"{field}.{name}" if field else str(name))
        case list() | tuple():
            for index, item in enumerate(value):
                yield from _strings(item, f"{field}[{index}]")
        case _:
            pass


def _size_problem(prompt: Prompt) -> _Problem | None:
    size = len(_as_json(prompt.request()).encode())
    if size <= MAX_REQUEST_BYTES:
        return None
    field = "prompt" if prompt.params is None else "messages"
    return field, f"makes a request of {size:,} bytes; the API takes at most {MAX_REQUEST_BYTES:,}"


def _blank(value: object) -> bool:
    return not (isinstance(value, str) and value.strip())
