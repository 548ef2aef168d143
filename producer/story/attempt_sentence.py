"""One attempt as a sentence: which model was asked and why, how that ended, what it cost."""

from models.chain.chain import short_name
from producer.output.format import duration, milliseconds, money
from producer.story.reason_sentence import because
from producer.story.rows import Row

_ASKED = {
    "start": "asked {model}",
    "retry": "asked {model} once more",
    "fallback": "asked {model} instead",
    "climb": "asked the better {model}",
    "raise": "asked {model} once more, for a longer answer",
    "continue": "had {model} go on with its turn",
    "resume": "asked {model}, back from waiting",
    "rebuy": "asked {model} again, though the call before may have been billed",
}
# The sentences of these ends tell all that the provider's words do.
_TOLD_IN_FULL = frozenset({"overloaded", "rate_limited", "ramp_limited"})
_SURE = {
    "exact": "",
    "free": " (free)",
    "estimated": " (estimated: figures of its usage contradict each other, and the larger counts)",
    "corrected": " (corrected later)",
}


def sentence(attempt: Row) -> str:
    """Tell an attempt; it begins with its number and ends with its cost."""
    model = short_name(attempt["requested_model"])
    asked = _ASKED.get(attempt["reason"], f"asked {{model}} ({attempt['reason']})").format(model=model)
    before = "; ".join(_before(attempt))
    after = "; ".join([*_after(attempt), _cost(attempt)])
    return f"{attempt['attempt_no']}. {asked}{f' ({before})' if before else ''}: {_ended(attempt)}; {after}"


def _before(attempt: Row) -> list[str]:
    facts = [f"fallback depth {attempt['fallback_depth']}"] if attempt["fallback_depth"] else []
    facts += ["a test call, to see whether it was back"] if attempt["is_probe"] else []
    facts += [f"held {duration(attempt['waited_ms'] / 1000)} for its turn"] if attempt["waited_ms"] else []
    facts += [f"max_tokens {attempt['max_tokens']}"] if attempt["max_tokens"] else []
    return facts + ([attempt["note"]] if attempt["note"] else [])


def _ended(attempt: Row) -> str:
    outcome = attempt["outcome"]
    if outcome is None:
        return "no end was seen yet"
    facts = [attempt["http_status"], attempt["error_type"], attempt["error_code"]]
    status = " ".join(str(word) for word in facts if word)
    timed = "" if attempt["latency_ms"] is None else f" after {milliseconds(attempt['latency_ms'])}"
    words = attempt.get("error") if outcome not in _TOLD_IN_FULL else None
    message = f', with the words "{words}"' if words else ""
    return f"{_how(attempt)}{f' ({status})' if status and attempt['error_type'] else ''}{timed}{message}"


def _how(attempt: Row) -> str:
    served, is_closed = attempt["served_model"], attempt["closed_at"] is not None
    if attempt["outcome"] == "unknown" and is_closed:  # nobody waits for its end any more
        return "nobody saw how it ended"
    by = f" (served by {short_name(served)})" if served and served != attempt["requested_model"] else ""
    if attempt["outcome"] == "truncated" and attempt.get("stop_reason") == "pause_turn":
        return f"it paused again, and its turn had been sent back as often as it may{by}"
    return f"{because(attempt['outcome'], {'cut_at': attempt['cut_at']})}{by}"


def _after(attempt: Row) -> list[str]:
    after_ms = attempt["retry_after_ms"]
    facts = [] if after_ms is None else [f"to be left alone for {duration(after_ms / 1000)}"]
    return facts if attempt["output_tokens"] is None else [*facts, _tokens(attempt)]


def _tokens(attempt: Row) -> str:
    read = attempt["cache_read_tokens"] or 0
    written = (attempt["cache_write_5m_tokens"] or 0) + (attempt["cache_write_1h_tokens"] or 0)
    cached = [f"{read:,} read from the cache"] if read else []
    cached += [f"{written:,} written to the cache"] if written else []
    whole = f"{attempt['input_tokens'] or 0:,} tokens in"
    return f"{', '.join([whole, *cached])}, {attempt['output_tokens']:,} out"


def _cost(attempt: Row) -> str:
    if attempt["cost_nano_usd"] is None:
        least, most = (attempt.get(f"{name}_nano_usd") for name in ("least", "reserved"))
        bounds = [f"at least {money(least)}"] if least is not None else []
        bounds += [f"at most {money(most)}"] if bounds and most is not None else []
        unknown = ", ".join(["cost unknown", *bounds])
        return "cost not known yet" if attempt["outcome"] is None else unknown
    status = attempt["cost_status"]
    return f"{money(attempt['cost_nano_usd'])}{_SURE.get(status, f' ({status})')}"
