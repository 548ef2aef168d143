"""The capabilities of each model: window, most output, sampling, thinking, effort, smallest cacheable prefix.

`wants_older_version` finds the parts of a request that the SDK's own version of the API refuses. A request is kept with
two headers of its caller, HEADERS: the version of the API and its betas.

Sources: ModelCapabilities and the docstrings of parameters in the SDK (anthropic 2.12.0); Anthropic's pages on
adaptive thinking and on effort; Amazon's page, for thinking that cannot be named off. The API's own answer about a
model goes before this table.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from reprlib import repr as shown
from typing import Any

from models.chain.endpoint_fit import Feature
from models.rung_name import model_of

OLDER_VERSION = "2023-06-01"  # the anthropic-version of requests that the SDK's own, 2026-10-21, answers with 400
VERSIONS = (OLDER_VERSION, "2026-10-21")
VERSION, BETA = HEADERS = ("anthropic-version", "anthropic-beta")
LONG_CONTEXT = "context-1m-2025-08-07"  # the beta of a window of a million tokens
_BETA_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_MOST_BETAS = 50
SAMPLING = ("temperature", "top_p", "top_k")
EFFORTS = ("low", "medium", "high", "xhigh", "max")
_MILLION = 1_000_000
_VERSION = re.compile(r"claude-(opus|sonnet|haiku|fable|mythos)-(\d+)(?:-(\d{1,2}))?(?!\d)")
_OLD = re.compile(r"claude-(?:[1-3]|instant)")  # neither thinking nor effort
_CANNOT_STOP_THINKING = ("fable", "mythos")
_SMALLEST_PREFIX = {"opus-4-5": 4096, "opus-4-6": 4096, "opus-4-7": 2048, "opus-4-8": 2048, "haiku-4-5": 4096}


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """The capabilities of one model. Sizes are tokens, None if unknown.

    `thinking` holds the types that the model accepts. A model that `thinks_unasked` thinks unless a request disables
    thinking. `smallest_prefix` is the shortest beginning of a prompt that the cache keeps. `takes_sampling` counts
    under OLDER_VERSION; the newer version takes no sampling. `takes_forced_tools` allows a tool_choice of any or tool.
    The last three are the endpoint's: missing features, the only version of the API, and another account's place.
    """

    model: str
    window: int | None = None
    most_output: int | None = None
    smallest_prefix: int = 1024
    takes_sampling: bool = True
    takes_prefill: bool = True
    takes_forced_tools: bool = True
    thinking: frozenset[str] = frozenset({"enabled", "adaptive", "disabled", "between_tools"})
    thinks_unasked: bool = False
    efforts: tuple[str, ...] = EFFORTS
    lacks: frozenset[Feature] = frozenset()
    only_version: str | None = None
    is_other_account: bool = False

    def stated(self, info: Mapping[str, Any]) -> "Capabilities":
        """Return the capabilities as GET /v1/models/ID states them. A missing or malformed field changes nothing.

        >>> capabilities_of("claude-haiku-4-5").stated({"max_tokens": 32000, "max_input_tokens": None}).most_output
        32000
        """
        abilities = _object(info.get("capabilities"))
        kinds = _supported(_object(_object(abilities.get("thinking")).get("types")))
        efforts = _supported(_object(abilities.get("effort")))
        return replace(
            self,
            window=_count(info.get("max_input_tokens")) or self.window,
            most_output=_count(info.get("max_tokens")) or self.most_output,
            thinking=self.thinking if kinds is None else frozenset(kinds),
            efforts=self.efforts if efforts is None else tuple(name for name in EFFORTS if name in efforts),
        )


def capabilities_of(model: str) -> Capabilities:
    """Return the known capabilities of a model, by its name. An unknown model accepts every parameter.

    >>> capabilities_of("claude-opus-4-7").takes_sampling
    False
    """
    own = model_of(model)
    match = _VERSION.match(own)
    if match is None:
        is_old = _OLD.match(own) is not None
        return Capabilities(model=model, thinking=frozenset(), efforts=()) if is_old else Capabilities(model=model)
    family, version = match[1], (int(match[2]), int(match[3] or 0))
    is_large = version >= (4, 6)
    return Capabilities(
        model=model,
        window=_MILLION if is_large else 200_000,
        most_output=_most_output(family, version),
        smallest_prefix=_SMALLEST_PREFIX.get(f"{family}-{version[0]}-{version[1]}", 1024),
        takes_sampling=version < (4, 7),
        takes_prefill=version < (4, 6),
        takes_forced_tools=family != "fable" or version < (5, 1),
        thinking=_thinking(family, version),
        thinks_unasked=version >= (5, 0),
        efforts=_efforts(family, version),
    )


def wants_older_version(params: Mapping[str, Any]) -> str | None:
    """Return the first thing in a request that only OLDER_VERSION takes. Returns None if there is nothing.

    >>> wants_older_version({"temperature": 1})
    'temperature'
    """
    return next((name for name in SAMPLING if params.get(name) is not None), None) or next(_older_blocks(params), None)


def headers_problem(headers: object) -> tuple[str, str] | None:
    """Return the first header that a request cannot leave with, and the reason. Returns None if there is none.

    >>> headers_problem({"anthropic-version": "2024-01-01"})
    ('anthropic-version', "'2024-01-01' should be one of 2023-06-01, 2026-10-21, or be left out")
    """
    if not isinstance(headers, Mapping):
        return "headers", f"{shown(headers)} should be an object of headers"
    for name, value in headers.items():
        if name not in HEADERS:
            return "headers", f"{shown(name)} cannot be sent through the chain: it may be one of {', '.join(HEADERS)}"
        if name == VERSION and value not in VERSIONS:
            return name, f"{shown(value)} should be one of {', '.join(VERSIONS)}, or be left out"
        if name == BETA and (wrong := _wrong_beta(value)):
            return name, wrong
    return None


def betas_of(headers: Mapping[str, str]) -> list[str]:
    """Return the betas of a request, each once, in the caller's order."""
    return list(dict.fromkeys(filter(None, map(str.strip, headers.get(BETA, "").split(",")))))


def _wrong_beta(value: object) -> str | None:
    if not isinstance(value, str):
        return f"{shown(value)} should be names of betas by comma, or be left out"
    betas = betas_of({BETA: value})
    if len(betas) > _MOST_BETAS:
        return f"{len(betas)} betas are more than the {_MOST_BETAS} a request may have"
    unlike = next((beta for beta in betas if not _BETA_NAME.fullmatch(beta)), None)
    return None if unlike is None else f"{shown(unlike)} should be the name of a beta, such as files-api-2025-04-14"


def _older_blocks(params: Mapping[str, Any]) -> Iterator[str]:
    messages = params.get("messages")
    for message in map(_object, messages if isinstance(messages, list) else ()):
        role, content = message.get("role"), message.get("content")
        for block in map(_object, content if isinstance(content, list) else ()):
            if role == "assistant" and block.get("type") == "document":
                yield "a document of the assistant"
            if role == "user" and block.get("type") == "text" and block.get("citations") is not None:
                yield "citations of the user"


def _most_output(family: str, version: tuple[int, int]) -> int:
    if version >= (4, 6):
        return 128_000
    return 32_000 if family == "opus" and version < (4, 5) else 64_000


def _thinking(family: str, version: tuple[int, int]) -> frozenset[str]:
    if version >= (5, 0) and family not in _CANNOT_STOP_THINKING:
        return frozenset({"adaptive", "disabled"})
    if version >= (4, 7):
        return frozenset({"adaptive"})
    return frozenset({"enabled", "disabled"} | ({"adaptive"} if version >= (4, 6) else set()))


def _efforts(family: str, version: tuple[int, int]) -> tuple[str, ...]:
    if version >= (4, 7):
        return EFFORTS
    if version >= (4, 6):
        return ("low", "medium", "high", "max")
    return EFFORTS[:3] if family == "opus" and version >= (4, 5) else ()


def _supported(abilities: Mapping[str, Any]) -> set[str] | None:
    """Return the names of the supported abilities. Returns None if the API states none."""
    stated = {name: _object(ability).get("supported") for name, ability in abilities.items()}
    known = {name: is_so for name, is_so in stated.items() if isinstance(is_so, bool)}
    return {name for name, is_so in known.items() if is_so} if known else None


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None
