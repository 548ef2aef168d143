"""What a request will ask of its model's limits, and what its end tells of the model: values for the turnstile."""

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from models.outcome import Outcome
from models.size import size_of
from models.usage import Usage
from worker.reply import Broken, Failure, Received, Reply
from worker.turnstile import How

_CHARACTERS_A_TOKEN = 4.0  # until a reply has told better
_IMAGE_TOKENS, _DOCUMENT_TOKENS = 1_600, 20_000
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
    Outcome.MODEL_MISSING: "missing",
    Outcome.RATE_LIMITED: "limited",
    Outcome.RAMP_LIMITED: "ramped",
    Outcome.OVERLOADED: "overloaded",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What a request is expected to use: input that no cache holds, and output."""

    input: int
    output: int


class Expected:
    """Expects of a request what replies to others have taught; shared by the threads of one worker."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._a_token: dict[str, float] = {}  # model -> characters
        self._written: dict[tuple[str, int], float] = {}  # model, size of max_tokens -> share of it

    def tokens(self, model: str, params: Mapping[str, Any]) -> Tokens:
        """Estimate what the model will count; what is wrong with it is settled when the reply is there."""
        size, most = size_of(params), _most(params)
        text = size.characters / self._a_token.get(model, _CHARACTERS_A_TOKEN)
        media = size.images * _IMAGE_TOKENS + size.documents * _DOCUMENT_TOKENS
        share = self._written.get((model, most.bit_length()), _WRITTEN_SHARE)
        return Tokens(input=round(text) + media + 1, output=max(1, round(most * share)))

    def learn(self, model: str, params: Mapping[str, Any], usage: Usage) -> None:
        """Take what one reply used into account."""
        size, most = size_of(params), _most(params)
        with self._lock:
            if size.is_text and (counted := uncached(usage)) > 0:
                known = self._a_token.get(model, _CHARACTERS_A_TOKEN)
                self._a_token[model] = max(0.5, _moved(known, size.characters / counted))
            key = (model, most.bit_length())
            self._written[key] = _moved(self._written.get(key, _WRITTEN_SHARE), usage.output_tokens / most)


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
