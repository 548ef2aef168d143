"""The admission script as calls and answers: words in, words out, on any host."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, cast

from models.rung_name import endpoint_of
from worker.admission.admission import RETRIES_SPENT, Capacity, Change, Denied, Granted, Request, Result, ResultKind
from worker.admission.retry_budget import RetryBudget

_FOLDER = Path(__file__).with_name("lua")
_SUBJECTS = ("state", "limits", "concurrency", "breaker", "admission")  # each uses the files before
TEXT = "\n".join((_FOLDER / f"{subject}.lua").read_text(encoding="utf-8") for subject in _SUBJECTS)
# The facts that an end proves of the model, its pace and the key. A pushback is a failure that fewer calls may cure.
_TELLS: Mapping[ResultKind, tuple[str, ...]] = {
    "well": ("is_answer", "knows_model", "knows_key"),
    "limited": ("is_pushback", "knows_model", "knows_key"),
    "ramped": ("knows_model", "knows_key"),
    "overloaded": ("is_failure", "is_pushback", "knows_model"),
    "server_error": ("is_failure", "is_pushback", "knows_model"),
    "timed_out": ("is_failure", "knows_model"),
    "unreachable": ("is_failure", "knows_model"),
    "missing": ("is_failure", "knows_model", "knows_key"),
    "key_refused": (),
    "not_sent": (),
}
_USED_NOTHING: frozenset[ResultKind] = frozenset({"not_sent", "limited", "ramped", "unreachable"})
_ALL_UNUSED = {"requests": "0", "input": "0", "output": "0"}
TICKETS = "ticket:"  # begins the key of each request in flight
Run = Callable[[Sequence[Sequence[str]]], Sequence[Sequence[Any]]]  # arguments of each run of the script -> its result


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """An operator's choices. A model that is out is probed after `probe_every_s`, a refused key after `key_pause_s`.

    `requests_per_minute` holds the limits of groups, for the time before a reply's headers give them. `rungs` counts
    the chain's models at each endpoint. Empty: the chain has one endpoint, whose models alone may be out.
    """

    probe_every_s: float
    key_pause_s: float
    requests_per_minute: Mapping[str, int] = field(default_factory=dict)
    rungs: Mapping[str, int] = field(default_factory=dict)


class LuaScript:
    """Admission control over a host that runs the script. `now` is for tests; the default is the time of the host.

    `worker` is recorded with each granted request.
    """

    def __init__(
        self,
        run: Run,
        tuning: Tuning,
        *,
        worker: str = "-",
        now: Callable[[], float] | None = None,
    ) -> None:
        self._retries = RetryBudget(now or monotonic)
        self._run_script = run
        self._worker = worker
        self._tuning = (f"{tuning.probe_every_s}", f"{tuning.key_pause_s}")
        self._stated, self._rungs = tuning.requests_per_minute, tuning.rungs
        self._now = now

    def acquire(self, need: Request) -> Granted | Denied:
        """Grant or deny a request; a denial has a time to wait."""
        return cast("Granted | Denied", self.answer([need])[0])

    def release(self, ended: Result) -> Change:
        """Record the end of a granted request. Returns the change of the model's circuit breaker."""
        return cast("Change", self.answer([ended])[0])

    def answer(self, group: Sequence[Request | Result]) -> Sequence[Granted | Denied | Change]:
        """Acquire and release, in the order of the group, in one run."""
        answers: list[Any] = [self._spent(asked) for asked in group]
        asked = [(place, one) for place, one in enumerate(group) if answers[place] is None]
        replies = self._run([self._words_of(one) for _, one in asked])
        for (place, one), reply in zip(asked, replies, strict=True):
            answers[place] = self._granted(one, reply) if isinstance(one, Request) else reply[0]
        return answers

    def _spent(self, asked: Request | Result) -> Denied | None:
        if isinstance(asked, Result) or not asked.is_retry or self._retries.has_room():
            return None
        return Denied(reason=RETRIES_SPENT, wait_s=0, details=self._retries.details())

    def _words_of(self, asked: Request | Result) -> list[str]:
        if isinstance(asked, Request):
            return self._words(
                "acquire", worker=self._worker, stated=str(self._stated.get(asked.group, 0)), **_request(asked)
            )
        rungs = str(self._rungs.get(endpoint_of(asked.model), 0))
        return self._words("release", rungs=rungs, **_result(asked))

    def _granted(self, need: Request, reply: Sequence[str]) -> Granted | Denied:
        word, *values = reply
        if word == "granted":
            self._retries.add(is_retry=need.is_retry)
            return Granted(after_s=round(float(values[0]), 3), is_probe=values[1] == "1")
        reason, wait_s, *pairs = values
        details = {name: _figure(value) for name, value in zip(pairs[::2], pairs[1::2], strict=True)}
        if "left" in details:
            details["needs"] = _figure(_request(need)[str(details["limit"])])
        return Denied(reason=reason, wait_s=round(float(wait_s), 3), details=details)

    def capacity(self, models: Mapping[str, str], *, horizon_s: float) -> Mapping[str, Capacity]:
        """Return for each model the number of requests that could leave within `horizon_s`. `models` has each group."""
        (free,) = self._run([self._words("capacity", horizon_s=str(horizon_s), **models)])
        return {
            model: Capacity(free=max(0, int(count)), is_closed=int(count) < 0)
            for model, count in zip(models, free, strict=True)
        }

    def _words(self, command: str, **words: str) -> list[str]:
        now = "" if self._now is None else f"{self._now():.6f}"
        return [command, now, *self._tuning, *(word for pair in words.items() for word in pair)]

    def _run(self, group: Sequence[Sequence[str]]) -> list[list[str]]:
        return [[_text(word) for word in reply] for reply in self._run_script(group)] if group else []


def results_of_lost(tickets: Mapping[str, bytes | None], worker: str) -> list[Result]:
    """Return the tickets of a lost worker, each with its record, as requests that did not leave.

    Whether they left is unknown. The next reply's headers hold the provider's count.
    """
    records = {ticket: json.loads(text) for ticket, text in tickets.items() if text is not None}
    return [
        Result(ticket=ticket, model=record["model"], group=record["group"], how="not_sent")
        for ticket, record in records.items()
        if record["worker"] == worker
    ]


def _request(need: Request) -> dict[str, str]:
    return {
        **{name: str(getattr(need, name)) for name in ("ticket", "job", "model", "group", "hold_s", "patience_s")},
        "requests": "1",
        "input": str(need.input_tokens),
        "output": str(need.output_tokens),
        "queue_s": str(need.patience_s if need.queue_s is None else need.queue_s),
        **_flags({"is_urgent": need.is_urgent, "has_waited": need.has_waited, "is_again": need.is_again}),
    }


def _result(ended: Result) -> dict[str, str]:
    known = {
        "latency_ms": ended.latency_ms,
        "input": ended.input_tokens,
        "output": ended.output_tokens,
        "retry_after_s": ended.retry_after_s,
    }
    for kind, (limit, remaining) in ended.limits.items():
        known |= {f"{kind}_limit": limit, f"{kind}_remaining": remaining}
    flags = {"is_slow": ended.is_slow, "is_again": ended.is_again, "is_own_fault": ended.is_own_fault}
    flags |= dict.fromkeys(_TELLS[ended.how], True)
    words = {name: str(value) for name, value in known.items() if value is not None}
    if ended.how in _USED_NOTHING:
        words |= _ALL_UNUSED
    elif ended.how != "timed_out":
        words.setdefault("output", "0")  # unknown output was not written
    reported = {"ticket": ended.ticket, "model": ended.model, "group": ended.group, "result": ended.how}
    return reported | words | _flags(flags)


def _flags(flags: Mapping[str, bool]) -> dict[str, str]:
    return {name: "1" for name, is_so in flags.items() if is_so}


def _text(word: Any) -> str:
    return word.decode() if isinstance(word, bytes) else str(word)


def _figure(value: str) -> float | str:
    try:
        return float(f"{float(value):.6g}")
    except ValueError:
        return value
