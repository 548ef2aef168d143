"""One job's walk in memory: a provider that follows a script, a ledger in memory, a clock that is set by hand."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from types import SimpleNamespace
from typing import Any

from models.chain.chain import Chain, RungRange
from models.chain.deadline import Deadline
from models.job.values import NewJob
from models.money.pricing import Price, Rates
from models.settings import load_settings
from tests.support.ledgers.memory_ledger import MemoryAttempt, MemoryJob, MemoryLedger
from tests.support.plays.awaited import awaited, directly, finished
from tests.support.plays.scripted_admission import ScriptedAdmission
from worker.admission.forecast import Forecast
from worker.events import Event
from worker.failing_batches import FailingBatches
from worker.fallback.caps import Caps
from worker.fallback.walk import Walked, walk
from worker.intake import Intake
from worker.provider.reply import Begun, Broken, Received
from worker.recovery.heartbeat import Heartbeat
from worker.run import Worker, run

OPUS, SONNET, HAIKU = "claude-opus-4-7", "claude-sonnet-4-6", "claude-haiku-4-5-20251001"
CHAIN = (OPUS, SONNET, HAIKU)
WINDOWS = {OPUS: 1_000_000, SONNET: 1_000_000, HAIKU: 200_000}
WORST_USD = {OPUS: Decimal("0.5"), SONNET: Decimal("0.3"), HAIKU: Decimal("0.1")}
PARAMS = {"max_tokens": 100, "messages": [{"role": "user", "content": "Ten harbours were dredged."}]}
A_DAY_S = 86_400.0
NOW = datetime(2026, 11, 23, tzinfo=UTC)
_PER_MILLION = {"input": "5", "output": "25", "cache_read": "0.5", "cache_write_5m": "6.25", "cache_write_1h": "10"}
_RATES = Rates(**{name: Decimal(rate) for name, rate in _PER_MILLION.items()})
_ERROR_TYPES = (
    "400 invalid_request_error, 401 authentication_error, 402 billing_error, 403 permission_error, 404 not_found_error,"
    " 413 request_too_large, 429 rate_limit_error, 500 api_error, 504 timeout_error, 529 overloaded_error"
)
_ERRORS = {int(status): kind for status, kind in (each.split() for each in _ERROR_TYPES.split(","))}
_STOP_REASONS = {
    "ok": "end_turn",
    "max_tokens": "max_tokens",
    "window": "model_context_window_exceeded",
    "refusal": "refusal",
    "paused": "pause_turn",
    "novel": "a_word_of_next_year",
}


def message(model: str = OPUS, stop_reason: str = "end_turn", **changes: Any) -> dict[str, Any]:
    """Make a Message as the API sends it."""
    whole = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": "Harbours were dredged."}],
        "stop_reason": stop_reason,
        "usage": {"input_tokens": 1000, "output_tokens": 100, "service_tier": "standard"},
    }
    return whole | changes


def received(body: object, *, status: int = 200, **headers: str) -> Received:
    """Make a complete response; `retry_after` becomes the header `retry-after`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Received(status=status, headers=named, body=json.dumps(body).encode(), latency_ms=7)


def error(status: int, text: str = "no", *, code: str | None = None, **headers: str) -> Received:
    """Make an error as the API sends it."""
    reported: dict[str, Any] = {"type": _ERRORS.get(status, "api_error"), "message": text}
    if code is not None:
        reported["details"] = {"error_code": code}
    return received({"type": "error", "error": reported, "request_id": "req_1"}, status=status, **headers)


def end_of(word: str, model: str) -> Received | Broken:
    """Make an end from a word of these tables, a way to break, or a status with its retry-after, as in 429:3600."""
    name, _, retry_after = word.partition(":")
    headers = {"retry_after": retry_after} if retry_after else {}
    if name in _STOP_REASONS:
        return received(message(model, _STOP_REASONS[name]))
    if name in ("cut", "timed_out", "unreachable"):
        return Broken(how=name, detail="it broke", latency_ms=7)  # type: ignore[arg-type]  # one of the three
    if name == "ramp":
        return error(429, code="ramp_limit_exceeded", **headers)
    return _NAMED[name] if name in _NAMED else error(int(name), **headers)


_NAMED: Mapping[str, Received | Broken] = {
    "broke_off": Broken(
        how="cut",
        detail="it broke",
        latency_ms=7,
        begun=Begun(message_id="msg_1", served_model=OPUS, usage=message()["usage"], has_output=True),
    ),
    "empty": received(message(content=[])),
    "html": Received(status=200, headers={}, body=b"<html>", latency_ms=7),
    "page": Received(status=403, headers={}, body=b"<html>", latency_ms=7),
    "moved": Received(status=301, headers={"location": "https://elsewhere/"}, body=b"", latency_ms=7),
    "too_long": error(400, "prompt is too long: 2 tokens > 1 maximum"),
    "spend": error(429, code="enforced_spend_limit_reached"),
}


@dataclass(slots=True)
class ScriptedProvider:
    """Answers each call with the next word of its script, `ok` after the last. `calls` are the models asked.

    `sent` are their max_tokens, `headers` the API's version and betas.
    """

    script: list[str]
    calls: list[str] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    deadlines_s: list[float] = field(default_factory=list)
    requests: list[Mapping[str, Any]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    meanwhile: Callable[[], object] = lambda: None

    def call(
        self,
        model: str,
        params: Mapping[str, Any],
        *,
        deadline: Deadline,
        headers: Mapping[str, str] | None = None,
        **_ids: str,
    ) -> Received | Broken:
        """Answer as the script says."""
        self.calls.append(model)
        self.sent.append(params["max_tokens"])
        self.deadlines_s.append(deadline.after_s)
        self.requests.append(params)
        self.headers.append(headers or {})
        self.meanwhile()
        return end_of(self.script.pop(0) if self.script else "ok", model)

    def served(self, _rung: str, model: str) -> str:
        """Take the reply's word."""
        return model

    def cut(self) -> None:
        """Have no call in flight."""


class OnePrice:
    """Says that every model costs the same, but those it is told not to know."""

    def __init__(self, unknown: Iterable[str] = ()) -> None:
        self._unknown = set(unknown)

    def price(self, model: str, *, at: datetime, **_reported: str | None) -> Price | None:
        """Find the price."""
        assert at.tzinfo is not None
        return None if model in self._unknown else Price(model=model, source="by hand", rates=_RATES)


@dataclass(slots=True)
class Scene:
    """One job, and all that works on it. `now_s` is the clock."""

    provider: ScriptedProvider
    ledger: MemoryLedger
    worker: Worker
    events: list[Event]
    intake: Intake
    admission: ScriptedAdmission
    slept: list[float]
    job_id: str = "job-1"

    @property
    def job(self) -> MemoryJob:
        """Read the job's row."""
        return self.ledger.jobs[self.job_id]

    @property
    def attempts(self) -> list[MemoryAttempt]:
        """Read its attempts."""
        return self.ledger.attempts_of(self.job_id)

    def story(self) -> list[tuple[int, str, int, str]]:
        """Tell each attempt in order: number, reason, fallback depth, outcome."""
        return [
            (one.opening.number, str(one.opening.reason), one.opening.fallback_depth, str(one.closing.outcome))
            for one in self.attempts
            if one.closing is not None
        ]

    def walk(self, *, time_left_s: float = A_DAY_S) -> Walked:
        """Claim the job and walk."""
        claim = self.ledger.claim(self.job_id, lease_s=60)
        assert claim is not None, f"it cannot be claimed: {self.job}"
        return finished(walk(claim, self.worker, time_left_s=time_left_s))

    def run(self, job_id: str | None = None) -> str:
        """Deliver a message, and return the line for Flower."""
        return finished(run(job_id or self.job_id, self.worker))


@dataclass(slots=True)
class HandClock:
    """A clock that stands until it is set."""

    now_s: float = 0.0

    def __call__(self) -> float:
        """Tell the seconds."""
        return self.now_s


def _awaited(name: str, change: Any) -> Any:
    if name in {"provider", "ledger", "admission"}:
        return awaited(change, "served")
    return partial(directly, change) if name == "sleep" else change


def scene(
    *script: str,
    chain: tuple[str, ...] = CHAIN,
    span: RungRange | None = None,
    clock: HandClock | None = None,
    ledger: MemoryLedger | None = None,
    params: Mapping[str, Any] = PARAMS,
    held: Iterable[str] = (),
    terms: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Scene:
    """Set up one job of a chain; `held` is the script of admission, `terms` are the job's, `changes` the worker's."""
    clock = clock or HandClock()
    ledger, events = ledger or MemoryLedger(clock), list[Event]()
    provider, admission, slept = ScriptedProvider([*script]), ScriptedAdmission([*held]), list[float]()
    intake = Intake(free_mb=lambda: 1000, needed_mb=0, clock=clock, report=events.append)
    worker = _worker(chain, provider, ledger, admission, intake, events, slept)
    span = span or RungRange(start=0, floor=len(chain) - 1, ceiling=0)
    ledger.add(NewJob(id="job-1", seq=1, prompt_id="1", task=None, params=params, span=span, **(terms or {})))
    return Scene(
        provider=provider,
        ledger=ledger,
        worker=replace(worker, **{name: _awaited(name, change) for name, change in changes.items()}),
        events=events,
        intake=intake,
        admission=admission,
        slept=slept,
    )


def _worker(
    chain: tuple[str, ...],
    provider: ScriptedProvider,
    ledger: MemoryLedger,
    admission: ScriptedAdmission,
    intake: Intake,
    events: list[Event],
    slept: list[float],
) -> Worker:
    store: Any = SimpleNamespace(ledger=ledger, outbox=ledger, job_actions=ledger)
    return Worker(
        settings=load_settings(env_file=None),
        store=store,
        loop=awaited(None),
        heartbeat=Heartbeat(lambda claims: ledger.renew(claims, lease_s=60), lease_s=60),
        intake=intake,
        failing_batches=FailingBatches(pause_after=0),
        chain=Chain(models=chain),
        provider=awaited(provider, "served"),
        ledger=awaited(ledger),
        prices=OnePrice(),
        caps=Caps(),
        worst_case_usd=lambda model, _params, **_tier: WORST_USD.get(model, Decimal("0.2")),
        admission=awaited(admission),
        expected=Forecast(),
        report=events.append,
        now=lambda: NOW,
        sleep=partial(directly, slept.append),
        in_thread=directly,
        draw=lambda: 1.0,
        window_of=WINDOWS.get,
        climbs=frozenset(),
        patience_s=5,
        key_pause_s=60,
        on_key_trouble="wait",
        call_timeout_s=120,
        is_stopping=intake.is_stopping,
    )
