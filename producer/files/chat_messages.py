"""The messages of an OpenAI chat as those of the Messages API, or the first thing in them that has no equal there."""

import re
from collections.abc import Mapping
from itertools import takewhile
from reprlib import repr as shown
from typing import Any

_SYSTEM = ("system", "developer")
_ROLES = (*_SYSTEM, "user", "assistant")
_DATA_URL = re.compile(r"data:(image/(?:jpeg|png|gif|webp));base64,([A-Za-z0-9+/=\s]+)")
_DETAILS = ("auto", "high")  # an image is always read in full
_IMAGES = "an https: URL, or data:image/jpeg, png, gif or webp;base64,..."


class Unmapped(Exception):  # noqa: N818 - no error of ours: a line that cannot be mapped, and why
    """A field that has no equal, and what would be right."""

    def __init__(self, field: str, problem: str) -> None:
        self.field, self.problem = field, problem
        super().__init__(f"{field}: {problem}")


def mapped_messages(messages: object) -> dict[str, Any]:
    """Map messages: those of the system that stand first become `system`, those further on stay where they are.

    >>> mapped_messages([{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Why?"}])
    {'system': 'Be brief.', 'messages': [{'role': 'user', 'content': 'Why?'}]}
    """
    if not isinstance(messages, list) or not messages:
        raise Unmapped("body.messages", f"{shown(messages)} should be a list of at least one message")
    told = [_message(message, f"body.messages[{index}]") for index, message in enumerate(messages)]
    first = len([*takewhile(lambda message: message["role"] == "system", told)])
    if first == len(told):
        raise Unmapped("body.messages", "holds no message of the user, which is what is answered")
    system = {"system": "\n\n".join(_text(message["content"]) for message in told[:first])} if first else {}
    return {**system, "messages": told[first:]}


def _message(message: object, field: str) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise Unmapped(field, f"{shown(message)} should be an object with role and content")
    role = message.get("role")
    if role in ("tool", "function"):  # no set: it may be a list
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


def _text(content: str | list[Mapping[str, Any]]) -> str:
    return content if isinstance(content, str) else "\n".join(str(part["text"]) for part in content)
