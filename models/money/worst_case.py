"""The most that one request may cost, which is reserved until the cost is known.

Only the API's own content blocks, at places that the API reads, are images and documents. All else in a request is
text, as long as its JSON: the input of a tool, a schema, a source of unknown shape.
"""

import json
from binascii import Error as NoBase64
from binascii import a2b_base64
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from typing import Any, Protocol

from models.money.pricing import NANO_USD, WEB_SEARCH_USD_PER_THOUSAND, Prices, Rates

_MILLION = Decimal(1_000_000)
_MOST_USD = Decimal(1_000_000_000)  # a larger sum is no bound, and would not fit into 64 bits of nano-dollars
_IMAGE_TOKENS = 6_000  # no image is more, whatever its size: the API scales it down
_TOOL_TOKENS = 2_000  # the API's own words to a model that has tools, and for each of the API's tools
_TOOLSET_TOKENS = 20_000  # a toolset is some thirty tools
_LONGEST_NAME = 1_000  # characters of an image's place; a longer name counts as text beside the image
_IMAGE_FIELDS = {"type", "source", "cache_control", "transformations"}
_IMAGE_KINDS = {"image/jpeg", "image/png", "image/gif", "image/webp"}
_NO_MEDIA = {"text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "mcp_tool_use"}
_IN_MESSAGE, _IN_RESULT, _IN_DOCUMENT, _NOWHERE = (
    frozenset(kinds.split()) for kinds in ("tool_result document image", "document image", "image", "")
)  # blocks that the API reads in a user's message, in a tool_result, in a document made of blocks
_MORE_PASSES = ("mcp_servers", "fallbacks", "context_management", "container")  # nobody knows the number of passes
_CALLERS_OWN = ("bash_", "text_editor_", "computer_", "memory_")  # tools of the API's that the caller runs


class WorstCase(Protocol):
    """Returns the most that a request to a model may cost in USD, None if nothing bounds the cost."""

    def __call__(self, model: str, params: Mapping[str, Any], /, *, service_tier: str | None = None) -> Decimal | None:
        """Bound the cost of `params` on `model`, at a service tier or at the usual price."""


def worst_case_usd(
    model: str,
    params: Mapping[str, Any],
    prices: Prices,
    *,
    window: int | None,
    at: datetime,
    service_tier: str | None = None,
) -> Decimal | None:
    """Return the most that one request to `model` costs in USD, at the prices of `at`. Returns None without a bound.

    No token is shorter than a byte. Each is charged at the dearest rate for input, and all of `max_tokens` is written.
    A prompt is never longer than the model's `window`, in tokens. A document has as many as fit, unless its text is in
    the request. For each use of a tool that the API runs itself, the model is passed over once more. Without `max_uses`
    for such a tool there is no bound.
    """
    if _unbounded(params) is not None:
        return None
    most, uses = params["max_tokens"], sum(tool["max_uses"] for _, tool in _served(params))
    asked = {"speed": params.get("speed"), "inference_geo": params.get("inference_geo")}
    price = prices.price(model, at=at, service_tier=service_tier, **asked)
    tokens = window if uses else _prompt_tokens(params, window)
    if price is None or tokens is None:
        return None
    dearest = max(_once(tokens, most, rates) for rates in (price.rates, price.rates_for(tokens)))
    worst = (uses + 1) * dearest + uses * WEB_SEARCH_USD_PER_THOUSAND / 1000
    return worst.quantize(NANO_USD, rounding=ROUND_CEILING) if worst <= _MOST_USD else None


def why_unbounded(params: Mapping[str, Any]) -> str:
    """Return the reason why nothing bounds the cost of a request: the field, and the fix."""
    if (reason := _unbounded(params)) is not None:
        return reason
    speed = params.get("speed")
    if speed not in {None, "standard"}:
        return f"speed: {speed} has no price here; leave it out"
    return f"it has no price here, or a document and no window that is known, or would cost more than ${_MOST_USD:,}"


def _unbounded(params: Mapping[str, Any]) -> str | None:
    for name in _MORE_PASSES:
        if params.get(name):
            return f"{name}: nobody can tell how often it has the model pass over the prompt; leave it out"
    if type(params.get("max_tokens")) is not int:
        return "max_tokens: should be a whole number"
    for name in ("speed", "inference_geo"):
        if not isinstance(params.get(name), str | None):
            return f"{name}: should be text"
    for place, tool in _served(params):
        if "model" in tool:
            return f"tools[{place}].model: another model is asked on the way, at its own price; leave the tool out"
        uses = tool.get("max_uses")
        if not (type(uses) is int and uses >= 0):
            return f"tools[{place}].max_uses: give a whole number: the API runs this tool as often as it likes"
    return None


def _once(tokens: int, most: int, rates: Rates) -> Decimal:
    dearest_input = max(rates.input, rates.cache_read, rates.cache_write_5m, rates.cache_write_1h)
    return (tokens * dearest_input + most * rates.output) / _MILLION


def _prompt_tokens(params: Mapping[str, Any], window: int | None) -> int | None:
    images, sources = 0, 0
    for media in _media(params):
        if media is None:
            return window
        images, sources = images + 1, sources + media
    tokens = len(json.dumps(params)) - sources + images * _IMAGE_TOKENS + _added_tokens(params)
    return tokens if window is None else min(tokens, window)


def _added_tokens(params: Mapping[str, Any]) -> int:
    """Count the tokens that the API adds to a request, about tools and about the form of an answer."""
    own = [str(tool.get("type")) for tool in _objects(params.get("tools")) if tool.get("type") not in (None, "custom")]
    sets = sum("toolset" in kind for kind in own)
    asks = [name for name in ("tools", "output_config", "output_format") if params.get(name)]
    return (len(asks) + len(own)) * _TOOL_TOKENS + sets * _TOOLSET_TOKENS


def _media(params: Mapping[str, Any]) -> Iterator[int | None]:
    """Yield the source characters of each image, which are no text, and None for each document of unknown length.

    Only at a place that the API reads does a source count as one. An uncertain source counts both as image and as text.
    """
    found = _parts(params.get("system"), _NOWHERE)
    for message in _objects(params.get("messages")):
        found += _parts(message.get("content"), _IN_MESSAGE if message.get("role") == "user" else _NOWHERE)
    while found:  # no recursion: a request may be nested as deep as JSON can be read
        block, reads = found.pop()
        kind = str(block.get("type"))
        within = reads if kind in reads else _NOWHERE
        if kind == "image":
            yield _source_length(block) if within else 0
        elif kind == "document" and (text := _written_out(block)) is None:
            yield None
        elif kind == "document":
            found += _parts(text, within & _IN_DOCUMENT)
        elif kind == "tool_result":
            found += _parts(block.get("content"), within & _IN_RESULT)
        elif kind not in _NO_MEDIA:  # the API may read anything in such a block
            found += _parts([*block.values()], _NOWHERE)


def _written_out(document: Mapping[str, Any]) -> object:
    """Return the text or the blocks of a document that is in the request itself. Returns None for any other.

    With citations the API adds any number of marks.
    """
    source, cited = document.get("source"), document.get("citations")
    is_cited = cited.get("enabled") if isinstance(cited, dict) else cited
    match source:
        case {"type": "text", "data": str(text)} if not is_cited:
            return text
        case {"type": "content", "content": str() | list() as content} if not is_cited:
            return content
    return None


def _parts(content: object, reads: frozenset[str]) -> list[tuple[Mapping[str, Any], frozenset[str]]]:
    """List the objects of a content, each with the blocks that the API reads there: none in a nested list."""
    blocks = content if isinstance(content, list | tuple) else ()
    nested = [block for block in blocks if not isinstance(block, dict)] if blocks else content
    return [(block, reads) for block in blocks if isinstance(block, dict)] + [
        (block, _NOWHERE) for block in _objects(nested)
    ]


def _objects(value: object) -> list[Mapping[str, Any]]:
    """List the objects in a list, also in nested lists. An object alone is a list of one."""
    found, left = list[Mapping[str, Any]](), [value]
    while left:
        match left.pop():
            case dict() as one:
                found.append(one)
            case list() | tuple() as several:
                left += several
    return found


def _source_length(image: Mapping[str, Any]) -> int:
    """Count the characters of an image's source that are no text: 0 for an unknown shape."""
    source = image.get("source")
    if image.keys() - _IMAGE_FIELDS or not isinstance(source, dict):
        return 0
    data = ""
    match source:
        case {"type": "base64", "media_type": str(kind), "data": str(data)} if kind in _IMAGE_KINDS and _is_base64(
            data
        ):
            is_right = len(source) == len(("type", "media_type", "data"))
        case {"type": "url", "url": str()} | {"type": "file", "file_id": str()}:
            is_right = len(source) == len(("type", "url"))
        case _:
            is_right = False
    name = len(json.dumps({**source, "data": ""} if data else source))
    return name + len(data) if is_right and name <= _LONGEST_NAME else 0


def _is_base64(text: str) -> bool:
    try:
        return bool(a2b_base64(text, strict_mode=True))
    except (NoBase64, ValueError):  # the second for text outside ASCII
        return False


def _served(params: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    """List the tools that the API runs itself, with their places."""
    tools = params.get("tools")
    known = enumerate(tools) if isinstance(tools, list) else ()
    return [(place, tool) for place, tool in known if isinstance(tool, dict) and not _is_callers_own(tool)]


def _is_callers_own(tool: Mapping[str, Any]) -> bool:
    kind = tool.get("type")
    return kind is None or kind == "custom" or (isinstance(kind, str) and kind.startswith(_CALLERS_OWN))
