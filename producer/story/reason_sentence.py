"""Why a model answered or did not, was passed over, waited for or left: one sentence for each word of the ledger."""

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from math import isfinite

from models.chain.chain import short_name
from producer.output.format import duration, money

Figures = Mapping[str, object]
# {it} is the model's name, or "it" where it has just been named; {its} belongs to it.
_SENTENCES: Mapping[str, str] = {
    "answered": "{it} answered",
    "refused": "{it} declined to answer",
    "unfinished": "{it} paused in the middle of its turn, to be sent back",
    "unclear": "{it} stopped for a reason that is unknown here",
    "empty": "{its} answer had no text",
    "invalid": "{its} answer did not pass the job's own check",
    "malformed": "what came back was not an answer",
    "unreachable": "no connection came about, so nothing was sent",
    "cut": "the connection broke before {its} answer was complete",
    "bad_request": "the API found the request itself wrong, which no other model cures",
    "rejected": "the API refused the request in a way that is unknown here, so one other model is asked",
    "over_limit": "the request needs more tokens than {it} takes in a minute",
    "doubted": "the API refused the key for this request, and answered others with it",
    "blocked": "something between here and the API stopped the request, so one other model is asked",
    "redirected": "the address in ANTHROPIC_BASE_URL sends calls elsewhere, which no other model cures",
    "too_long": "the prompt was longer than {it} can read",
    "too_large": "the request was larger than the API takes, whatever the model",
    "spend_limit": "the money of this key was used up at the provider, which no other model cures",
    "unauthorized": "the API refused the key, which no other model cures",
    "model_missing": "the API knew no model of {its} name",
    "model_denied": "the key may not use {it}",
    "ramp_limited": "the API said that the traffic of this key grew too fast",
    "server_error": "the API, or a gateway before it, failed with an error of its own",
    "overloaded": "{it} was overloaded",
    "unknown": "its worker was lost during the call, so nobody saw how it ended",
    "unseen": "a worker had left it that was lost before it could say why",
    "half_price": "the job waited for a place in a message batch, at half price",
    "message_batch": "its message batch had not ended",
    "moved": "its message batch gave no answer, so the job was called live",
    "key_paused": "nobody might call with this key for a while: the API had refused it, or its money was used up",
    "worker_stopped": "its worker was being stopped",
    "endpoint_out": "no model of {its} endpoint was well",
    "same_limit": "{it} draws on limits that were used up",
    "waited": "the job had waited for {it} as long as it may",
    "no_time": "the next chance would have come after the job's deadline",
}
NOT_RUN: Mapping[str, str] = {  # by the error type of an item
    "canceled": "its message batch was cancelled before the request ran",
    "expired": "its message batch expired before the request ran",
    "lost": "no list of the provider showed its message batch",
    "late": "its message batch could not be created in time",
}
_LIMITS = {"requests": "requests", "input": "input tokens", "output": "output tokens"}
_COOLED = {
    "overloaded": "it was overloaded",
    "server_error": "the API, or a gateway before it, failed with an error of its own",
    "timed_out": "it did not answer in time",
    "unreachable": "it could not be reached",
    "missing": "the API did not know its name, or the key may not use it",
    "slow": "it took far longer than it usually does",
    "outage": "no model of its endpoint was well",
}


def because(reason: str, details: Figures, it: str = "it") -> str:
    """Say why, in one sentence without its end; `it` is what to call the model. A word nobody knows is shown as it is.

    >>> because("overloaded", {}, "opus-4-7"), because("truncated", {"cut_at": 300})
    ('opus-4-7 was overloaded', 'its answer was cut at 300 tokens')
    >>> because("sunspots", {})
    'sunspots'
    """
    if worded := _BY_FIGURES.get(reason):
        return worded(details, it)
    return _SENTENCES.get(reason, "{reason}").format(reason=reason, it=it, its=_its(it))


def number(details: Figures, name: str) -> float | None:
    """Read a figure that should be a number; None where it is missing or none."""
    value = details.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MOST
    return float(value) if is_number and isfinite(value) else None  # type: ignore[arg-type]


_MOST = 1e15  # what is above it is no figure of ours


def _truncated(details: Figures, it: str) -> str:
    most = number(details, "cut_at")
    return f"{_its(it)} answer was cut at {'its length limit' if most is None else f'{most:,.0f} tokens'}"


def _not_run(details: Figures, _it: str) -> str:
    cause = NOT_RUN.get(str(details.get("error_type")), "its message batch ended before the request ran")
    return f"{cause}, so nothing was bought"


def _late(details: Figures, it: str) -> str:
    if details.get("batch"):
        return f"{_its(it)} message batch ended after the job had gone on, so its answer was not used"
    return f"{it} ended after the job had gone to somebody else, so its answer was not used"


def _timed_out(details: Figures, it: str) -> str:
    deadline = details.get("deadline")
    return f"{it} did not answer {'in time' if deadline is None else f'within {deadline}'}"


def _rate_limited(details: Figures, it: str) -> str:
    after_s = number(details, "retry_after_s")
    until = "" if after_s is None else f" for another {duration(after_s)}"
    return f"the API said that this key's limits for {it} were used up{until}"


def _circuit_open(details: Figures, it: str) -> str:
    kind, run = str(details.get("kind", "")), number(details, "failures")
    for_s, wait_s = number(details, "for_s"), number(details, "wait_s")
    since = "" if for_s is None else f" for {duration(for_s)}"
    calls = (
        ""
        if run is None or run < 1
        else f", after {run:.0f} failed calls in a row"
        if run > 1
        else ", after a failed call"
    )
    cause = f" ({_COOLED.get(kind, kind)})" if kind else ""
    test = "" if wait_s is None else f"; a test call was due in {duration(wait_s)}"
    return f"all workers had left {it} alone{since}{calls}{cause}{test}"


def _limited(details: Figures, it: str) -> str:
    kind, wait_s = str(details.get("limit", "")), number(details, "wait_s")
    if kind == "retry-after":
        return f"the API had said to leave {it} alone{'' if wait_s is None else f' for another {duration(wait_s)}'}"
    left, most, needs = (number(details, name) for name in ("left", "per_minute", "needs"))
    used = f"this key's {_LIMITS.get(kind, 'limits')}{' per minute' if kind in _LIMITS else ''} for {it} were used up"
    facts = [] if left is None or most is None else [f"{max(0, left):,.0f} of {most:,.0f} were left"]
    facts += [] if needs is None else [f"about {needs:,.0f} needed"]
    free = [] if wait_s is None else [f"enough again in {duration(wait_s)}"]
    return f"{used}{_bracketed([*facts, *free])}"


def _full(details: Figures, it: str) -> str:
    flying, cap = number(details, "in_flight"), number(details, "cap")
    facts = [] if flying is None or cap is None else [f"{flying:.0f} of {cap:.0f}"]
    return f"as many calls to {it} as our own limit allows were in flight{_bracketed(facts)}"


def _retries_spent(details: Figures, _it: str) -> str:
    retries, requests = number(details, "retries"), number(details, "requests")
    facts = [] if retries is None or requests is None else [f"{retries:.0f} of {requests:.0f} lately"]
    return f"all workers together had repeated as many calls as they may{_bracketed(facts)}"


def _dearer(details: Figures, it: str) -> str:
    held_by, other = str(details.get("held_by", "")), details.get("instead_of")
    instead = "to ask the next model" if other is None else f"to ask {short_name(str(other))}"
    cause = f"; {because(held_by, details, it)}" if held_by and held_by != "dearer" else ""
    return f"{it} held in its cache what the job's batch shares, so that {instead} would have cost more{cause}"


def _unfit(details: Figures, it: str) -> str:
    cause = details.get("because")
    return f"the request does not suit {it}{f' ({cause})' if cause else ''}"


def _over_budget(details: Figures, it: str) -> str:
    cap, gone, reserved, needs = (_usd(details, name) for name in ("cap_usd", "gone_usd", "reserved_usd", "needs_usd"))
    scope = str(details.get("scope", ""))
    whose = "the day" if scope == "day" else "its batch" if scope.startswith("batch:") else scope or "its batch or day"
    if cap is None or gone is None or needs is None:
        return f"the money that {whose} may cost did not suffice for a call to {it}"
    held = f" and {money(reserved)} held for calls under way" if reserved else ""
    return (
        f"a call to {it} might cost {money(needs)}, and of the {money(cap)} for {whose} {money(gone)} were spent{held}"
    )


def _reserved(details: Figures, it: str) -> str:
    return f"{_over_budget(details, it)}; some of that may be given back"


def _over_today(details: Figures, it: str) -> str:
    return f"{_over_budget(details, it)}; the next day, in UTC, has its own"


_BY_FIGURES: Mapping[str, Callable[[Figures, str], str]] = {
    "truncated": _truncated,
    "not_run": _not_run,
    "late": _late,
    "timed_out": _timed_out,
    "rate_limited": _rate_limited,
    "circuit_open": _circuit_open,
    "limited": _limited,
    "full": _full,
    "dearer": _dearer,
    "retries_spent": _retries_spent,
    "paused": lambda details, it: because("key_paused", details, it),
    "unfit": _unfit,
    "over_budget": _over_budget,
    "over_today": _over_today,
    "reserved": _reserved,
}


def _its(it: str) -> str:
    return "its" if it == "it" else f"{it}'s"


def _bracketed(facts: list[str]) -> str:
    return f" ({', '.join(facts)})" if facts else ""


def _usd(details: Figures, name: str) -> Decimal | None:
    try:
        usd = Decimal(str(details.get(name)))
    except InvalidOperation:
        return None
    return usd if usd.is_finite() and abs(usd) < Decimal(10) ** 15 else None
