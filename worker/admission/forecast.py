"""The tokens that a request will take from its model's limits, warm or cold, learned from earlier replies."""

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import partial
from threading import Lock
from typing import Any

from models.chain.capabilities import Capabilities
from models.chain.deadline import UNMEASURED_PACE
from models.money.pricing import Prices, cost_usd
from models.money.prompt_cache import prefix_tokens
from models.money.token_estimate import CHARACTERS_A_TOKEN, PromptSize, prompt_size, usual_tokens
from models.money.usage import Usage
from models.outcome import Outcome
from worker.admission.admission import ResultKind
from worker.admission.own_measurements import RepeatedFailures, Slowness
from worker.provider.reply import Broken, Failure, Received, Reply

_PRIOR_OUTPUT = 500  # tokens; the output limit counts generated tokens only, so a low guess costs a 429 at most
_PRIOR_WEIGHT = 100  # tokens at the usual ratio, beside replies to prompts of another length
_LEAST_SHARE = 0.1  # of the newest reply in a mean
_LEAST_CHARACTERS_A_TOKEN = 0.5
_LONG_OUTPUT = 500  # tokens; in a shorter answer the wait for the first token counts for too much
_PACES_KEPT, _LEAST_PACES = 100, 10
_SLOW_QUANTILE, _SLOW_MARGIN = 0.9, 2.0  # a tenth of healthy answers is slower than the quantile
_LIMITS = {"requests": "requests", "input": "input-tokens", "output": "output-tokens"}
_HOW: Mapping[Outcome, ResultKind] = {
    Outcome.MALFORMED: "server_error",
    Outcome.CUT: "server_error",
    Outcome.SERVER_ERROR: "server_error",
    Outcome.UNREACHABLE: "unreachable",
    Outcome.TIMED_OUT: "timed_out",
    Outcome.SPEND_LIMIT: "key_refused",
    Outcome.UNAUTHORIZED: "key_refused",
    Outcome.REDIRECTED: "key_refused",  # no call of this address can work
    Outcome.BLOCKED: "not_sent",  # the request did not reach the model, and teaches nothing about the model
    Outcome.MODEL_MISSING: "missing",
    Outcome.MODEL_DENIED: "missing",
    Outcome.OVER_LIMIT: "not_sent",  # the model's limits are unchanged
    Outcome.RATE_LIMITED: "limited",
    Outcome.RAMP_LIMITED: "ramped",
    Outcome.OVERLOADED: "overloaded",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """A forecast of a request's tokens: input that no cache holds, input read from a cache, and output.

    `replies` counts the replies of this model to requests of this size, for the figure with fewer replies. With 0, at
    least one figure is borrowed from other requests or is a prior.
    """

    input: int
    output: int
    cached: int = 0
    replies: int = 0

    @property
    def is_learned(self) -> bool:
        """Whether a reply to a request of the same kind stands behind the forecast."""
        return self.replies > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """Requests that are alike. `size` is the bit length of their characters or of their max_tokens."""

    model: str
    size: int
    is_marked: bool = False  # the caller marks a part for the prompt cache


@dataclass(slots=True)
class _Mean:
    """A mean over replies. The first reply is the mean; later, the newest reply has a tenth of the weight."""

    replies: int = 0
    value: float = 0.0

    def add(self, seen: float) -> None:
        self.replies += 1
        self.value += max(1 / self.replies, _LEAST_SHARE) * (seen - self.value)


@dataclass(slots=True)
class _Prompts:
    """The mean length of prompts, in characters and in tokens."""

    characters: _Mean = field(default_factory=_Mean)
    tokens: _Mean = field(default_factory=_Mean)

    def characters_a_token(self, *, prior_weight: float = 0) -> float:
        characters = self.characters.value + CHARACTERS_A_TOKEN * prior_weight
        return max(_LEAST_CHARACTERS_A_TOKEN, characters / (self.tokens.value + prior_weight))


class Forecast:
    """Forecasts a request's tokens and a model's pace from earlier replies. Threads of one worker share the object."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._prompts: defaultdict[_Kind, _Prompts] = defaultdict(_Prompts)
        self._output: defaultdict[_Kind, _Mean] = defaultdict(_Mean)
        self._paces: defaultdict[str, deque[float]] = defaultdict(partial(deque, maxlen=_PACES_KEPT))
        self.slowness, self.failures = Slowness(), RepeatedFailures()

    def tokens(self, model: str, params: Mapping[str, Any], *, is_warm: bool = False) -> Tokens:
        """Estimate the tokens that the model will count. The reply's own count corrects the estimate later.

        `is_warm`: the model reads system and tools from its cache.
        """
        size, most = prompt_size(params), _most(params)
        with self._lock:
            a_token, asked = self._characters_a_token(_prompt_kind(model, size))
            output, answered = self._usual_output(_output_kind(model, most), most)
        cached = prefix_tokens(params, a_token=a_token) if is_warm else 0
        return Tokens(
            input=max(0, usual_tokens(size, a_token=a_token) - cached) + 1,
            cached=cached,
            output=max(1, min(round(output), most)),
            replies=min(asked, answered),
        )

    def learn(self, model: str, params: Mapping[str, Any], usage: Usage, *, latency_ms: int | None = None) -> None:
        """Take the usage of one reply into account. `params` are without any mark of ours."""
        size, output = prompt_size(params), usage.output_tokens
        # The ratio includes the savings by the caller's own marks. The forecast itself subtracts the savings by ours.
        counted = uncached(usage) if size.is_marked else usage.prompt_tokens
        with self._lock:
            if size.is_text and counted > 0:
                prompts = self._prompts[_prompt_kind(model, size)]
                prompts.characters.add(size.characters)
                prompts.tokens.add(counted)
            self._output[_output_kind(model, _most(params))].add(output)
            if latency_ms is not None and output >= _LONG_OUTPUT:
                self._paces[model].append(latency_ms / 1000 / output)

    def pace(self, model: str) -> float:
        """Return output tokens a second below which no healthy long answer of the model falls.

        A measured pace counts only if slower than the usual pace: a call cut too early is paid for.
        """
        with self._lock:
            seconds = sorted(self._paces.get(model, ()))
        if len(seconds) < _LEAST_PACES:
            return UNMEASURED_PACE
        slow_s = seconds[math.ceil(_SLOW_QUANTILE * len(seconds)) - 1]
        return min(UNMEASURED_PACE, 1 / (_SLOW_MARGIN * slow_s)) if slow_s else UNMEASURED_PACE

    def is_slow(self, model: str, end: Reply | Failure, *, is_probe: bool) -> bool:
        """Return whether this reply makes its model slow. No failure does."""
        is_known = isinstance(end, Reply) and not end.is_part and result_kind(end) == "well"
        usage = end.usage if is_known else None
        if usage is None or not end.latency_ms:
            return False
        read, written, latency_s = uncached(usage), usage.output_tokens, end.latency_ms / 1000
        return self.slowness.is_slow(model, latency_s=latency_s, read=read, written=written, is_probe=is_probe)

    def _characters_a_token(self, kind: _Kind) -> tuple[float, int]:
        """Return the ratio for prompts of this kind, and the number of replies behind the ratio."""
        if kind in self._prompts:
            return self._prompts[kind].characters_a_token(), self._prompts[kind].tokens.replies
        # A marked ratio holds for one model's warm cache; another model, or an unmarked prompt, counts every token.
        others = [each for each in self._prompts if not each.is_marked or (kind.is_marked and each.model == kind.model)]
        nearest = _nearest(kind, others)
        if nearest is None:
            return CHARACTERS_A_TOKEN, 0
        return self._prompts[nearest].characters_a_token(prior_weight=_PRIOR_WEIGHT), 0

    def _usual_output(self, kind: _Kind, most: int) -> tuple[float, int]:
        """Return the output tokens of requests of this kind, and the number of replies behind the figure."""
        if kind in self._output:
            return self._output[kind].value, self._output[kind].replies
        nearest = _nearest(kind, self._output)
        return (min(most / 2, _PRIOR_OUTPUT) if nearest is None else self._output[nearest].value), 0


def is_dearer(stays: Tokens, moves: Tokens, *, warm: str, cold: Capabilities, prices: Prices, at: datetime) -> bool:
    """Return whether a job with its prefix in the cache of `warm` would cost more on the model `cold`.

    Both forecasts assume a warm cache. The cold model writes the prefix to its cache, if the prefix is long enough.
    Otherwise the model reads the prefix as plain input. Returns False if a price is missing.
    """
    is_kept = moves.cached >= cold.smallest_prefix
    reading = Usage(input_tokens=stays.input, cache_read_tokens=stays.cached, output_tokens=stays.output)
    writing = Usage(
        input_tokens=moves.input if is_kept else moves.input + moves.cached,
        cache_write_5m_tokens=moves.cached if is_kept else 0,
        output_tokens=moves.output,
    )
    here, there = _cost_usd(reading, warm, prices, at), _cost_usd(writing, cold.model, prices, at)
    return here is not None and there is not None and there > here


def uncached(usage: Usage) -> int:
    """Count the input that the provider's limit counts: all that was not read from a cache."""
    return usage.prompt_tokens - usage.cache_read_tokens


def result_kind(end: Reply | Failure) -> ResultKind:
    """Return the meaning of an end for the model: any end but the model's own failure shows a working model."""
    return _HOW.get(end.outcome, "well")


def limits_in(received: Received | Broken) -> dict[str, tuple[int, int]]:
    """Read each limit per minute and the rest of the limit from a reply's headers. Values without sense are left out.

    Source: anthropic 2.12.0.
    """
    found: dict[str, tuple[int, int]] = {}
    headers = received.headers
    for kind, name in _LIMITS.items():
        limit = _count(headers.get(f"anthropic-ratelimit-{name}-limit"))
        remaining = _count(headers.get(f"anthropic-ratelimit-{name}-remaining"))
        if limit and remaining is not None:
            found[kind] = (limit, min(remaining, limit))
    return found


def _count(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 16 else None  # noqa: PLR2004


def _most(params: Mapping[str, Any]) -> int:
    most = params.get("max_tokens")
    return most if isinstance(most, int) and most > 0 else 1


def _prompt_kind(model: str, size: PromptSize) -> _Kind:
    return _Kind(model=model, size=size.characters.bit_length(), is_marked=size.is_marked)


def _output_kind(model: str, most: int) -> _Kind:
    return _Kind(model=model, size=most.bit_length())


def _nearest(wanted: _Kind, kinds: Iterable[_Kind]) -> _Kind | None:
    """Return the kind that is most alike: by cache mark, then by size, then by model. Returns None without kinds."""

    def distance(kind: _Kind) -> tuple[bool, int, bool]:
        return kind.is_marked != wanted.is_marked, abs(kind.size - wanted.size), kind.model != wanted.model

    return min(kinds, key=distance, default=None)


def _cost_usd(usage: Usage, model: str, prices: Prices, at: datetime) -> Decimal | None:
    price = prices.price(model, at=at)
    return None if price is None else cost_usd(usage, price)
