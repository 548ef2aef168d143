"""The words of an error reply: the API's own error object, a gateway's JSON, plain text or a page.

Only fields that hold messages are read: a gateway may echo the request beside them, and so the prompt.
"""

import ast
import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

_MOST_BYTES = 1_000_000
_MOST_MATCHED = 4_000  # characters that rules examine
_MOST_SEARCHED = 10_000  # characters of a page: the title stands at the beginning
_MOST_SAID = 300  # characters that a person is shown
_DEEPEST = 6
_MOST_ITEMS = 3
_SAYING = ("error", "title", "message", "error_message", "errormessage", "msg", "detail", "details", "description")
_SAYING_TOO = (
    *("error_description", "errors", "reason", "fault", "faultstring", "cause", "metadata", "raw", "body", "response"),
    *("exception", "summary", "status_message"),
)
_TITLE = re.compile(r"<(title|h1|message)\b[^>]*>(.*?)(?:</\1|$)", re.IGNORECASE | re.DOTALL)
_PAGE = re.compile(r"\s*<(!doctype|html|head|body|\?xml|[a-z]+[\s>/])", re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")
# A gateway that passes on a sentence of the API names the API before that sentence.
_ATTRIBUTED = re.compile(r"\banthropic\w*(?:exception|error)\s*[-:]\s*(.+)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderError:
    """An error in its sender's words; `kind` is the error type, `code` the error code, both empty if unknown.

    `form` is `own` for the API's own error object, `quoted` for that object or sentence inside a gateway's reply.
    `cloud` is an error in the words of the endpoint's own cloud.
    """

    form: Literal["own", "quoted", "cloud", "json", "page", "text", "none"]
    kind: str = ""
    code: str = ""
    text: str = ""

    @property
    def is_own(self) -> bool:
        """Return whether the words are the API's own, directly or quoted, or those of the endpoint's cloud."""
        return self.form in {"own", "quoted", "cloud"}

    @property
    def message(self) -> str:
        """Return the message for a person: one line of at most 300 characters."""
        return one_line(self.text)


def read_error(body: bytes) -> ProviderError:
    """Return the message of an error reply, whatever its shape."""
    if not body.strip():
        return ProviderError(form="none")
    value = _parsed(body)
    if value is not None:
        own = _own(value)
        return own or _quoted_in(value) or _of_json(value)
    text = body[:_MOST_BYTES].decode(errors="replace")
    if _PAGE.match(text):
        return ProviderError(form="page", text=_headline(text))
    return _quoted_by(text) or ProviderError(form="text", text=text[:_MOST_MATCHED])


def one_line(text: str, most: int = _MOST_SAID) -> str:
    """Return a text in printable characters, on one line, of at most `most` characters.

    >>> one_line("no  access"), one_line("abcdef", 5)
    ('no access', 'ab...')
    """
    words = " ".join(text[: 4 * most].split())
    plain = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in words)
    return plain if len(plain) <= most else f"{plain[: most - 3]}..."


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body) if len(body) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        return None


def _own(value: object) -> ProviderError | None:
    """Read `{"type": "error", "error": {"type": ..., "message": ...}}`. Returns None for any other shape."""
    if not isinstance(value, dict) or value.get("type") != "error":
        return None
    error = value.get("error")
    if not isinstance(error, dict) or not isinstance(error.get("type"), str):
        return None
    message = error.get("message")
    inner = _quoted_by(message) if isinstance(message, str) else _quoted_in(message)
    text = message if isinstance(message, str) else _words(message)
    found = ProviderError(form="own", kind=error["type"], code=_code(error), text=text[:_MOST_MATCHED])
    return inner if inner is not None and inner.kind else found


def _of_json(value: object) -> ProviderError:
    error = value.get("error") if isinstance(value, dict) else None
    about = error if isinstance(error, dict) else value if isinstance(value, dict) else {}
    kind = about.get("type")
    kind = kind if isinstance(kind, str) else ""
    return ProviderError(form="json", kind=kind, code=_code(about), text=_words(value)[:_MOST_MATCHED])


def _code(error: Mapping[str, Any]) -> str:
    details = error.get("details")
    inside = details.get("error_code") if isinstance(details, dict) else None
    codes = (inside, error.get("error_code"), error.get("code"))
    return next((code for code in codes if isinstance(code, str)), "")


def _quoted_in(value: object) -> ProviderError | None:
    """Return the API's error object below a gateway's own fields, as an object or in a text. Returns None if absent."""
    found = (_quoted(part) for part in _saying(value, 0))
    return next((error for error in found if error is not None), None)


def _quoted(part: object) -> ProviderError | None:
    if isinstance(part, str):
        return _quoted_by(part)
    own = _own(part)
    return own and replace(own, form="quoted")


def _saying(value: object, depth: int) -> Iterator[object]:
    if depth > _DEEPEST:
        return
    yield value
    if isinstance(value, dict):
        for name in (*_SAYING, *_SAYING_TOO):
            yield from _saying(value.get(name), depth + 1)
    elif isinstance(value, list):
        for item in value[:_MOST_ITEMS]:
            yield from _saying(item, depth + 1)


def _quoted_by(text: str) -> ProviderError | None:
    text = text[:_MOST_MATCHED]
    for value in _objects_in(text):
        own = _own(value)
        if own is not None:
            return replace(own, form="quoted")
    attributed = _ATTRIBUTED.search(text)
    return None if attributed is None else ProviderError(form="quoted", text=attributed[1].strip())


def _objects_in(text: str) -> Iterator[object]:
    """Yield the objects that a text quotes, in JSON or as Python shows a dict."""
    if not (text := text[text.find("{") :]).startswith("{"):
        return
    for written in (text, text.replace('\\"', '"')):
        try:
            yield json.JSONDecoder().raw_decode(written)[0]
        except (ValueError, RecursionError):
            continue
    shown = text[: text.rfind("}") + 1]
    try:
        yield ast.literal_eval(shown)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return


def _words(value: object, depth: int = 0) -> str:
    """Join the messages of a JSON value: of an object, a text, or a list of them."""
    if depth > _DEEPEST:
        return ""
    match value:
        case str():
            return value.strip()
        case list():
            each = (_words(item, depth + 1) for item in value[:_MOST_ITEMS])
            return "; ".join(word for word in each if word)
        case dict():
            return _words_of(value, depth)
        case _:
            return ""


def _words_of(value: Mapping[str, Any], depth: int) -> str:
    by_name = {str(name).lower(): inner for name, inner in value.items()}
    texts = [_words(by_name.get(name), depth + 1) for name in _SAYING]
    texts = [word for word in texts if word] or [_words(by_name.get(name), depth + 1) for name in _SAYING_TOO]
    place = by_name.get("loc")
    path = ".".join(str(step) for step in place[:8]) if isinstance(place, list) else ""
    return ": ".join(dict.fromkeys(word for word in (path, *texts) if word))


def _headline(text: str) -> str:
    found = _TITLE.search(text[:_MOST_SEARCHED])
    return "" if found is None else html.unescape(_TAG.sub(" ", found[2]))[:_MOST_MATCHED].strip()
