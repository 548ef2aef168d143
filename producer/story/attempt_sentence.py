"""One attempt as a sentence: which model was asked and why, how that ended, what it cost."""

from datetime import UTC

from models.chain.chain import short_name
from models.outcome import Outcome, Reason
from producer.output.format import counted, duration, milliseconds, money
from producer.story.reason_sentence import NOT_RUN, because
from producer.story.rows import Row

_ASKED = {
    "start": "asked {model}",
    "retry": "asked {model} once more",
    "fallback": "asked {model} instead",
    "climb": "asked the better {model}",
    "raise": "asked {model} once more, for a longer answer",
    "continue": "had {model} go on with its turn",
    "resume": "asked {model}, back from waiting",
    "late": "asked {model} live",
    "rebuy": "asked {model} again, though the call before may have been billed",
}
_STRAY = "found an answer of {model} that had been taken for lost"
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
    known = _STRAY if is_stray(attempt) else _ASKED.get(attempt["reason"], f"asked {{model}} ({attempt['reason']})")
    asked = known.format(model=model)
    before = "; ".join(_before(attempt))
    after = "; ".join([*_after(attempt), _cost(attempt)])
    return f"{attempt['attempt_no']}. {asked}{f' ({before})' if before else ''}: {_ended(attempt)}; {after}"


def is_stray(attempt: Row) -> bool:
    """Return whether an attempt is the cost of an item that was taken for lost."""
    return attempt["reason"] == Reason.LATE and attempt.get("message_batch_id") is not None


def _before(attempt: Row) -> list[str]:
    facts = [f"fallback depth {attempt['fallback_depth']}"] if attempt["fallback_depth"] else []
    facts += ["a test call, to see whether it was back"] if attempt["is_probe"] else []
    facts += [f"held {duration(attempt['waited_ms'] / 1000)} for its turn"] if attempt["waited_ms"] else []
    facts += [f"max_tokens {attempt['max_tokens']}"] if attempt["max_tokens"] else []
    facts += [_batched(attempt)] if attempt["message_batch_id"] else []
    return facts + ([attempt["note"]] if attempt["note"] and not is_stray(attempt) else [])


def _batched(attempt: Row) -> str:
    batch = attempt["message_batch"]
    if batch is None or batch["sent_at"] is None:
        return "at half price, in a message batch that is not created yet"
    named = f"message batch {batch['provider_id']}" if batch["provider_id"] else "a message batch"
    created = f"{batch['sent_at'].astimezone(UTC):%H:%M:%S}"
    return f"at half price, in {named} of {counted(batch['size'], 'request')}, created {created}"


def _ended(attempt: Row) -> str:
    outcome = attempt["outcome"]
    if outcome is None:
        return "no end was seen yet"
    facts = [attempt["http_status"], attempt["error_type"], attempt["error_code"]]
    status = " ".join(str(word) for word in facts if word)
    is_untimed = attempt["latency_ms"] is None or outcome == Outcome.NOT_RUN
    timed = "" if is_untimed else f" after {milliseconds(attempt['latency_ms'])}"
    is_told = outcome in _TOLD_IN_FULL or (outcome == Outcome.NOT_RUN and attempt["error_type"] in NOT_RUN)
    words = None if is_told else attempt.get("error")
    message = f', with the words "{words}"' if words else ""
    return f"{_how(attempt)}{f' ({status})' if status and attempt['error_type'] else ''}{timed}{message}"


def _how(attempt: Row) -> str:
    served, is_closed = attempt["served_model"], attempt["closed_at"] is not None
    if attempt["outcome"] == "unknown" and is_closed:  # nobody waits for its end any more
        return "nobody saw how it ended"
    by = f" (served by {short_name(served)})" if served and served != attempt["requested_model"] else ""
    if attempt["outcome"] == "truncated" and attempt.get("stop_reason") == "pause_turn":
        return f"it paused again, and its turn had been sent back as often as it may{by}"
    details = {"cut_at": attempt["cut_at"], "error_type": attempt["error_type"], "batch": attempt["message_batch_id"]}
    return f"{because(attempt['outcome'], details)}{by}"


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
