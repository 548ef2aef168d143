"""An error without the prompt: a gateway may quote a refused request, and errors are kept and shown."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from worker.provider.reply import Failure, Reply

_LEAST = 24  # characters: shorter runs are common words
_LEAST_WHOLE = 8  # characters of a prompt that is shorter than `_LEAST`
_MOST = 1_000_000
_LEFT_OUT = "..."


def without_prompt(end: Reply | Failure, params: Mapping[str, Any]) -> Reply | Failure:
    """Leave out of an error each run of 24 characters or more that the request has, too."""
    if isinstance(end, Reply) or end.http_status is None:
        return end
    prompt = " ".join(" ".join(_texts([params.get("system"), params.get("messages")]))[:_MOST].split())
    if len(prompt) < _LEAST:
        is_whole = len(prompt) >= _LEAST_WHOLE
        return replace(end, message=end.message.replace(prompt, _LEFT_OUT)) if is_whole else end
    return replace(end, message="".join(_kept(end.message, prompt)))


def _texts(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            yield from _texts(part)
    elif isinstance(content, dict):
        for name in ("text", "content", "input"):
            yield from _texts(content.get(name))


def _kept(message: str, prompt: str) -> Iterator[str]:
    at = 0
    while at < len(message):
        end = at + _LEAST
        if end > len(message) or message[at:end] not in prompt:
            yield message[at]
            at += 1
            continue
        while end < len(message) and message[at : end + 1] in prompt:
            end += 1
        yield _LEFT_OUT
        at = end
