"""One request in, one reply out, one line in the purchase log: the simulator without its sockets."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING

from tests.simulator.answers import ApiError, Delivery
from tests.simulator.billing import bill
from tests.simulator.buckets import RateLimits
from tests.simulator.cache import PromptCache
from tests.simulator.checks import RefusedError, read_prompt
from tests.simulator.choose import ANSWER_WELL, Chooser
from tests.simulator.compose import Generated, generate, message_json
from tests.simulator.draw import Draw, draw_for
from tests.simulator.purchases import Purchase, PurchaseLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.prompt import Prompt
    from tests.simulator.script import Rule, Script

_ERROR_S = 0.05  # median; nothing is generated before an error is sent
_HTML = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Checking.</body></html>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """What the simulator looks at in a request."""

    body: bytes
    has_key: bool = True
    job: str | None = None
    attempt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is sent, after `delay_s`; a dripping body gives a byte each `every_s`."""

    delivery: Delivery = "whole"
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str]
    body: bytes
    delay_s: float = 0.0
    every_s: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visit:
    """One request being answered: its chance, its place in time and its ids."""

    incoming: Incoming
    draw: Draw
    text_draw: Draw
    job_number: int
    request_id: str
    now_s: float


@dataclass(slots=True)
class Simulation:
    """Everything the provider remembers. `clock` is monotonic seconds, `utc_now` the wall clock."""

    script: Script
    log: PurchaseLog
    clock: Callable[[], float]
    utc_now: Callable[[], datetime] = lambda: datetime.now(UTC)
    seed: int = 7
    latency_s: float = 0.0
    tally: Counter[str] = field(default_factory=Counter)
    _chooser: Chooser = field(init=False)
    _limits: RateLimits = field(init=False)
    _cache: PromptCache = field(default_factory=PromptCache)
    _seen: Counter[bytes] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.play(self.script)

    def play(self, script: Script) -> None:
        """Follow this script from now on: jobs, seconds, uses and buckets start again, the cache stays."""
        now_s = self.clock()
        self.script = script
        self._chooser = Chooser(script, now_s)
        self._limits = RateLimits(script.limits, now_s)

    @property
    def jobs(self) -> int:
        """How many different jobs this script has seen."""
        return self._chooser.jobs

    def answer(self, incoming: Incoming) -> Reply:
        """Answer one request to /v1/messages; when this returns, its purchase is written."""
        visit = self._visit(incoming)
        try:
            prompt = read_prompt(incoming.body, has_key=incoming.has_key)
        except RefusedError as refused:
            return self._error(visit, refused.word, refused.error, model=refused.model)
        split = self._cache.split(prompt, visit.now_s)
        admission = self._limits.admit(prompt.model.group, split.uncached, visit.now_s)
        if admission.wait_s is not None:
            return self._limited(visit, prompt, admission.limit, admission.wait_s)
        rule = self._chooser.choose(prompt, visit.job_number, visit.draw, visit.now_s)
        billed = rule.answer.billed if rule.billed is None else rule.billed
        generated = None
        if billed or rule.answer.content != "error":
            generated = generate(prompt, rule, split, visit.text_draw)
            self._cache.keep(prompt, visit.now_s)
            self._limits.charge_output(prompt.model.group, generated.usage.output)
            billed = billed and generated.text is not None
        return self._reply(visit, prompt, rule, generated, billed=billed)

    def _visit(self, incoming: Incoming) -> _Visit:
        digest = blake2b(incoming.body, digest_size=16).digest()
        self._seen[digest] += 1
        draw = draw_for(self.seed, digest, self._seen[digest])
        return _Visit(
            incoming=incoming,
            draw=draw,
            text_draw=draw_for(self.seed, digest),
            job_number=self._chooser.number_of(incoming.job),
            request_id="req_011C" + draw.token(f"request {self.log.earlier}", 20),
            now_s=self.clock(),
        )

    def _reply(self, visit: _Visit, prompt: Prompt, rule: Rule, generated: Generated | None, *, billed: bool) -> Reply:
        message_id = "msg_01" + visit.draw.token(f"message {self.log.earlier}")
        answer = rule.answer
        status = answer.error.status if answer.error and answer.word != "error_200" else 200
        nano = bill(generated.served, generated.usage) if generated and billed else 0
        self._write(
            visit,
            message_id=message_id if generated else None,
            requested_model=str(prompt.body["model"]),
            served_model=generated.served.id if generated else None,
            status=None if answer.delivery in ("hang", "reset_before") else status,
            answer=answer.word,
            rule=None if rule is ANSWER_WELL else rule.number,
            stop_reason=generated.stop_reason if generated else None,
            usage=generated.usage.as_api() if generated else None,
            billed_nano_usd=nano,
        )
        headers = self._headers(visit, prompt)
        if rule.retry_after_s is not None:
            headers["retry-after"] = _plain(rule.retry_after_s)
        return Reply(
            delivery=answer.delivery,
            status=status,
            content_type="text/html" if answer.content == "html" else "application/json",
            headers=headers,
            body=_body(visit, rule, generated, message_id),
            delay_s=(self._error_s(visit) if generated is None else visit.draw.latency_s(self.latency_s))
            + rule.delay_s,
            every_s=rule.every_s,
        )

    def _limited(self, visit: _Visit, prompt: Prompt, limit: str, wait_s: int) -> Reply:
        message = f"This request would exceed your organization's rate limit of {limit} per minute."
        error = ApiError(status=429, type="rate_limit_error", message=message)
        headers = {**self._headers(visit, prompt), "retry-after": str(wait_s)}
        return self._error(visit, "429", error, model=str(prompt.body["model"]), headers=headers)

    def _error(
        self,
        visit: _Visit,
        word: str,
        error: ApiError,
        *,
        model: str | None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """Refuse what no rule decides about: a wrong request or a full bucket."""
        self._write(
            visit,
            message_id=None,
            requested_model=model,
            served_model=None,
            status=error.status,
            answer=word,
            rule=None,
            stop_reason=None,
            usage=None,
            billed_nano_usd=0,
        )
        return Reply(
            status=error.status,
            headers=headers or {"request-id": visit.request_id},
            body=error_json(error, visit.request_id),
            delay_s=self._error_s(visit),
        )

    def _error_s(self, visit: _Visit) -> float:
        """Draw how long an error takes: it comes back long before an answer would, where answers take time at all."""
        return visit.draw.latency_s(min(self.latency_s, _ERROR_S))

    def _write(self, visit: _Visit, **fields: object) -> None:
        purchase = Purchase(
            at=self.utc_now().isoformat(),
            request_id=visit.request_id,
            job=visit.incoming.job,
            job_number=visit.job_number,
            attempt=visit.incoming.attempt,
            **fields,  # type: ignore[arg-type]  # two callers, both above
        )
        self.log.append(purchase)
        self.tally["requests"] += 1
        self.tally["billed_nano_usd"] += purchase.billed_nano_usd
        self.tally[f"answer {purchase.answer}"] += 1

    def _headers(self, visit: _Visit, prompt: Prompt) -> dict[str, str]:
        now = self.utc_now()
        headers = {"request-id": visit.request_id}
        for kind, limit, remaining, full_in_s in self._limits.headers(prompt.model.group, visit.now_s):
            reset = now + timedelta(seconds=full_in_s)
            headers[f"anthropic-ratelimit-{kind}-limit"] = str(limit)
            headers[f"anthropic-ratelimit-{kind}-remaining"] = str(remaining)
            headers[f"anthropic-ratelimit-{kind}-reset"] = reset.strftime("%Y-%m-%dT%H:%M:%SZ")
        return headers


def error_json(error: ApiError, request_id: str) -> bytes:
    """Spell an error as the API does."""
    body: dict[str, object] = {"type": error.type, "message": error.message}
    if error.code is not None:
        body["details"] = {"error_code": error.code}
    return json.dumps({"type": "error", "error": body, "request_id": request_id}).encode()


def _body(visit: _Visit, rule: Rule, generated: Generated | None, message_id: str) -> bytes:
    answer = rule.answer
    if answer.error is not None:
        return error_json(answer.error, visit.request_id)
    if generated is None or answer.content == "empty":
        return b""
    if answer.content == "html":
        return _HTML
    body = message_json(generated, message_id, with_usage=answer.content != "no_usage")
    return body[: len(body) * 2 // 3] + b"," if answer.content == "malformed" else body


def _plain(seconds: float) -> str:
    """Write 1.0 as 1 and 0.5 as 0.5, never with an exponent."""
    return str(int(seconds)) if seconds == int(seconds) else f"{seconds:.3f}"
