"""The cost of an attempt: an end and the price list give one closed row of the ledger."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from models.job.values import Closing
from models.money.pricing import Prices, priced
from models.outcome import CostStatus, Outcome
from models.text import line
from worker.provider.reply import Failure, Reply

_ZERO = Decimal(0)
_MAY_BE_BILLED = {Outcome.MALFORMED, Outcome.CUT, Outcome.TIMED_OUT}


def closing_of(attempt_id: str, end: Reply | Failure, prices: Prices, *, at: datetime) -> Closing:
    """Return the end of an attempt for the ledger, priced by the model that answered and the usage's tier."""
    if isinstance(end, Failure):
        return _of_failure(attempt_id, end, prices, at)
    closing = _of_reply(attempt_id, end, prices, at)
    return _of_part(closing, end, prices, at) if end.is_part else closing


def total_usd(closings: Iterable[Closing]) -> Decimal | None:
    """Return the cost of attempts, in USD. Returns None if the cost of an attempt is unknown."""
    costs = [closing.cost_usd for closing in closings]
    return None if None in costs else sum((cost for cost in costs if cost is not None), _ZERO)


def _of_reply(attempt_id: str, reply: Reply, prices: Prices, at: datetime) -> Closing:
    usage = reply.usage
    # A refusal before any output is not billed.
    is_free = reply.outcome is Outcome.REFUSED and usage.output_tokens == 0
    cost = None if is_free else priced(usage, reply.served_model, prices, at=at)
    if is_free:
        status = CostStatus.FREE
    elif cost is None:
        status = CostStatus.UNKNOWN
    else:
        status = CostStatus.EXACT if usage.is_sure else CostStatus.ESTIMATED
    return Closing(
        attempt_id=attempt_id,
        outcome=reply.outcome,
        cost_usd=_ZERO if is_free else None if cost is None else cost.parts.total,
        cost_status=status,
        parts=None if cost is None else cost.parts,
        price_source=None if cost is None else cost.source,
        latency_ms=reply.latency_ms,
        http_status=200,
        served_model=reply.served_model,
        error_type="refusal" if reply.outcome is Outcome.REFUSED and reply.category else None,
        error_code=line(reply.category) if reply.outcome is Outcome.REFUSED else None,
        error=reply.flaw or reply.explanation or None,
        stop_reason=reply.stop_reason or None,
        message_id=reply.message_id,
        request_id=reply.request_id,
        usage=usage,
    )


def _of_failure(attempt_id: str, failure: Failure, prices: Prices, at: datetime) -> Closing:
    free = Closing(
        attempt_id=attempt_id,
        outcome=failure.outcome,
        cost_usd=_ZERO,
        cost_status=CostStatus.FREE,
        latency_ms=failure.latency_ms,
        http_status=failure.http_status,
        error_type=failure.error_type,
        error_code=failure.error_code,
        error=failure.message or None,
        retry_after_ms=None if failure.retry_after_s is None else round(failure.retry_after_s * 1000),
        served_model=failure.served_model,
        message_id=failure.message_id,
        request_id=failure.request_id,
    )
    return _of_part(free, failure, prices, at) if failure.outcome in _MAY_BE_BILLED else free


def _of_part(closing: Closing, end: Reply | Failure, prices: Prices, at: datetime) -> Closing:
    """Return the closing of an attempt whose whole usage nobody saw. Only a part with a price is kept, as the least."""
    least = _least_usd(end, prices, at)
    return replace(
        closing,
        cost_usd=None,
        cost_status=CostStatus.UNKNOWN if least is None else CostStatus.AT_LEAST,
        least_usd=least,
        parts=None,
        price_source=None,
        usage=None if least is None else end.usage,
    )


def _least_usd(end: Reply | Failure, prices: Prices, at: datetime) -> Decimal | None:
    """Return the cost of the usage that a stream has shown. Returns None if that is no bound of the bill."""
    usage, model = end.usage, end.served_model
    if usage is None or model is None or not end.is_least:
        return None
    least = priced(usage, model, prices, at=at)
    return None if least is None else least.parts.total
