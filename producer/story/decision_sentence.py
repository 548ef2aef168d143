"""Decisions about a job as sentences. A repeated decision is one sentence."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from models.chain.chain import short_name
from producer.output.format import duration
from producer.story.reason_sentence import Figures, because, number
from producer.story.rows import Row

_ABOUT_NO_MODEL = frozenset({"key_paused", "paused", "spend_limit", "unauthorized", "redirected", "worker_stopped"})
_FOR_GOOD_S = 1e9  # no wait is as long; and no time so far off can be written


def sentences(run: Sequence[Row], attempt: Row | None, models: Sequence[str]) -> Iterator[tuple[datetime | None, str]]:
    """Tell what was decided between two attempts, with the time of each; `attempt` is the one before, if any.

    Decisions of one kind about one model for one reason are told together, where the first of them was made.
    """
    alike: dict[tuple[str, str, str], list[Row]] = {}
    for row in run:
        alike.setdefault((row["decision"], row["model"], row["reason"]), []).append(row)
    for rows in alike.values():
        yield rows[0]["at"], _sentence(rows, attempt, models)


def _sentence(rows: Sequence[Row], attempt: Row | None, models: Sequence[str]) -> str:
    last = rows[-1]
    details = {**_figures_of(attempt, last["reason"]), **_figures(last)}
    model, to = short_name(last["model"]), short_name(str(details.get("to", last["model"])))
    message = _SAYINGS.get(last["decision"], _other)
    return message(rows, details, model, to, models)


def _figures(row: Row) -> Figures:
    return row["details"] if isinstance(row["details"], Mapping) else {}


def _figures_of(attempt: Row | None, reason: str) -> dict[str, object]:
    """Take what an attempt that ended so tells beside: the figures of a decision are its own."""
    if attempt is None or attempt["outcome"] != reason:
        return {}
    after_ms = attempt["retry_after_ms"]
    return {"cut_at": attempt["cut_at"], "retry_after_s": None if after_ms is None else after_ms / 1000}


def _skip(rows: Sequence[Row], details: Figures, model: str, _to: str, _models: Sequence[str]) -> str:
    return f"{model} was passed over{_often(rows)}: {because(rows[-1]['reason'], details)}{_at_last(rows)}"


def _wait(rows: Sequence[Row], details: Figures, model: str, to: str, _models: Sequence[str]) -> str:
    cause = because(rows[-1]["reason"], details, "it" if to == model else model)
    times = "" if len(rows) == 1 else f", {len(rows)} times"
    return f"waited {_in_all(rows)} for {to}{times}: {cause}{_at_last(rows)}"


def _retry(rows: Sequence[Row], details: Figures, model: str, _to: str, _models: Sequence[str]) -> str:
    return f"{model} was to be asked once more, at once: {because(rows[-1]['reason'], details)}"


def _raise(rows: Sequence[Row], details: Figures, model: str, _to: str, _models: Sequence[str]) -> str:
    most = number(details, "max_tokens")
    room = "more room for its answer" if most is None else f"room for {most:,.0f} tokens"
    return f"{model} was to be asked once more, with {room}: {because(rows[-1]['reason'], details)}"


def _continue(rows: Sequence[Row], _figures: Figures, model: str, _to: str, _models: Sequence[str]) -> str:
    return f"{model} was to go on with its turn{_often(rows)}: it had paused in the middle"


def _fallback(rows: Sequence[Row], details: Figures, model: str, to: str, models: Sequence[str]) -> str:
    rungs = {short_name(name): rung for rung, name in enumerate(models)}
    way = "up" if rungs.get(to, len(rungs)) < rows[-1]["rung"] else "down"
    return f"stepped {way} to {to}{_often(rows)}: {because(rows[-1]['reason'], details, model)}"


def _climb(rows: Sequence[Row], details: Figures, model: str, to: str, _models: Sequence[str]) -> str:
    return f"climbed to {to}, a better model{_often(rows)}: {because(rows[-1]['reason'], details, model)}"


def _park(rows: Sequence[Row], details: Figures, model: str, to: str, _models: Sequence[str]) -> str:
    last = rows[-1]
    if last["reason"] in _ABOUT_NO_MODEL:
        cause = because(last["reason"], details, model)
    else:
        cause = f"no model was left to ask; {because(last['reason'], details, model)}"
    if last["reason"] == "worker_stopped":
        return f"put back into the queue{_often(rows)}: {cause}"
    until = f", until {_until(last)}" if len(rows) == 1 and _until(last) else ""
    often = _often(rows) and f"{_often(rows)},"
    return f"parked{often} for {_in_all(rows)}{until}, then on with {to}: {cause}{_at_last(rows)}"


def _stop(rows: Sequence[Row], details: Figures, model: str, _to: str, _models: Sequence[str]) -> str:
    return f"went no further: {because(rows[-1]['reason'], details, model)}"


def _other(rows: Sequence[Row], details: Figures, model: str, _to: str, _models: Sequence[str]) -> str:
    last = rows[-1]
    return f"{last['decision']} at {model}{_often(rows)}: {because(last['reason'], details)}"


_SAYINGS: Mapping[str, Callable[[Sequence[Row], Figures, str, str, Sequence[str]], str]] = {
    "skip": _skip,
    "wait": _wait,
    "retry": _retry,
    "raise": _raise,
    "continue": _continue,
    "fallback": _fallback,
    "climb": _climb,
    "park": _park,
    "stop": _stop,
}


def _often(rows: Sequence[Row]) -> str:
    if len(rows) == 1:
        return ""
    first, last = rows[0]["at"], rows[-1]["at"]
    until = f" until {last.astimezone(UTC):%H:%M:%S}" if first and last and last > first else ""
    return f" {len(rows)} times{until}"


def _at_last(rows: Sequence[Row]) -> str:
    return "" if len(rows) == 1 or len(_figures(rows[-1])) == 0 else " (the last time)"


def _in_all(rows: Sequence[Row]) -> str:
    each = [_after_s(row) for row in rows]
    known = [after_s for after_s in each if after_s is not None]
    if not known:
        return "a while"
    return f"{duration(sum(known))}{'' if len(rows) == 1 else ' in all'}"


def _until(row: Row) -> str:
    at, after_s = row["at"], _after_s(row)
    if at is None or not after_s:
        return ""
    due: datetime = (at + timedelta(seconds=after_s)).astimezone(UTC)
    return f"{due:%H:%M:%S}" if due.date() == at.astimezone(UTC).date() else f"{due:%Y-%m-%d %H:%M:%S}"


def _after_s(row: Row) -> float | None:
    """Return how long a wait was; the next event of its job may have ended it before the time it was made for."""
    after_s: Any = number(_figures(row), "after_s")
    if after_s is None or not 0 <= after_s < _FOR_GOOD_S:
        return None
    at, next_at = row["at"], row.get("next_at")
    passed_s = after_s if at is None or next_at is None else max(0.0, (next_at - at).total_seconds())
    return float(min(after_s, passed_s))
