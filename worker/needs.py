"""What a request will ask of its model's limits, warm or cold, and what its end tells of the model."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from threading import Lock
from typing import Any

from models.facts import Facts
from models.outcome import Outcome
from models.prefix import prefix_tokens
from models.pricing import Prices, cost_usd
from models.size import CHARACTERS_A_TOKEN, size_of, usual_tokens
from models.usage import Usage
from worker.reply import Broken, Failure, Received, Reply
from worker.turnstile import How

_WRITTEN_SHARE = 0.5  # of max_tokens, until a reply has told better
_NEW_SHARE = 0.1  # how much one reply moves what is expected of the next
_LIMITS = {"requests": "requests", "input": "input-tokens", "output": "output-tokens"}
_HOW: Mapping[Outcome, How] = {
    Outcome.MALFORMED: "server_error",
    Outcome.CUT: "server_error",
    Outcome.SERVER_ERROR: "server_error",
    Outcome.UNREACHABLE: "unreachable",
    Outcome.TIMED_OUT: "timed_out",
    Outcome.SPEND_LIMIT: "key_refused",
    Outcome.UNAUTHORIZED: "key_refused",
    Outcome.REDIRECTED: "key_refused",  # no call of this address can work
    Outcome.BLOCKED: "not_sent",  # the model was not reached, so nothing is known of it
    Outcome.MODEL_MISSING: "missing",
    Outcome.MODEL_DENIED: "missing",
    Outcome.RATE_LIMITED: "limited",
    Outcome.RAMP_LIMITED: "ramped",
    Outcome.OVERLOADED: "overloaded",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What a request is expected to use: input that no cache holds, input read from one, and output."""

    input: int
    output: int
    cached: int = 0


class Expected:
    """Expects of a request what replies to others have taught; shared by the threads of one worker."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._a_token: dict[tuple[str, bool], float] = {}  # model, whether its caller marked it -> characters
        self._written: dict[tuple[str, int], float] = {}  # model, size of max_tokens -> share of it

    def tokens(self, model: str, params: Mapping[str, Any], *, is_warm: bool = False) -> Tokens:
        """Estimate what the model will count; what is wrong with it is settled when the reply is there.

        `is_warm`: system and tools will be read from its cache.
        """
        size, most = size_of(params), _most(params)
        a_token = self._a_token.get((model, size.is_marked), CHARACTERS_A_TOKEN)
        cached = prefix_tokens(params, a_token=a_token) if is_warm else 0
        share = self._written.get((model, most.bit_length()), _WRITTEN_SHARE)
        return Tokens(
            input=max(0, usual_tokens(size, a_token=a_token) - cached) + 1,
            cached=cached,
            output=max(1, round(most * share)),
        )

    def learn(self, model: str, params: Mapping[str, Any], usage: Usage) -> None:
        """Take what one reply used into account. `params` are without any mark of ours."""
        size, most = size_of(params), _most(params)
        # How much of a prompt its caller's own marks save is learned with it; for ours it is known beforehand.
        counted = uncached(usage) if size.is_marked else usage.prompt_tokens
        with self._lock:
            if size.is_text and counted > 0:
                kind = (model, size.is_marked)
                known = self._a_token.get(kind, CHARACTERS_A_TOKEN)
                self._a_token[kind] = max(0.5, _moved(known, size.characters / counted))
            key = (model, most.bit_length())
            self._written[key] = _moved(self._written.get(key, _WRITTEN_SHARE), usage.output_tokens / most)


def is_dearer(stays: Tokens, moves: Tokens, *, warm: str, cold: Facts, prices: Prices, at: datetime) -> bool:
    """Tell whether a job whose beginning is in the cache of `warm` would cost more on another model, whose is cold.

    Both are estimated as if warm. On the cold one the beginning is written to the cache, where that model keeps one as
    short as that, else read as plain input. Without a price for both, no: nobody can tell.
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


def how(end: Reply | Failure) -> How:
    """Say what an end tells of its model: all that is no failure of it shows that it is there."""
    return _HOW.get(end.outcome, "well")


def limits_in(received: Received | Broken) -> dict[str, tuple[int, int]]:
    """Read each limit per minute and what remains of it from a reply's headers; what makes no sense is left out.

    Source: facts.md, "anthropic 2.12.0".
    """
    found: dict[str, tuple[int, int]] = {}
    headers = received.headers if isinstance(received, Received) else {}
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


def _moved(known: float, seen: float) -> float:
    return known + _NEW_SHARE * (seen - known)


def _cost_usd(usage: Usage, model: str, prices: Prices, at: datetime) -> Decimal | None:
    price = prices.price(model, at=at)
    return None if price is None else cost_usd(usage, price)
