"""A request in, a reply out, a line in the purchase log: the simulator without its sockets."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING

from producer.simulator.account.billing import bill
from producer.simulator.account.buckets import Admission, RateLimits
from producer.simulator.account.cache import PromptCache
from producer.simulator.account.purchases import Purchase, PurchaseLog
from producer.simulator.answer.answers import BREAKING, Delivery
from producer.simulator.answer.choose import Chooser
from producer.simulator.answer.compose import Generated, generate, stopped
from producer.simulator.answer.draw import Draw, draw_for
from producer.simulator.answer.stream import error_event, events_of
from producer.simulator.answer.wire import body_of, page_of, retry_after, status_of
from producer.simulator.request.checks import RefusedError, read_prompt
from producer.simulator.request.errors import ApiError, error_json, filled
from producer.simulator.request.versions import Head

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.simulator.account.cache import Split
    from producer.simulator.answer.rule import Rule
    from producer.simulator.answer.script import Script
    from producer.simulator.request.prompt import Prompt

_STREAM = re.compile(rb',\s*"stream"\s*:\s*(true|false)')  # a streamed answer is the same answer
_ERROR_S = 0.05  # median; nothing is generated before an error is sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """The parts of a request that decide the answer; an item of a message batch has a `batch_id`."""

    body: bytes
    head: Head = field(default_factory=Head)
    job: str | None = None
    attempt: str | None = None
    batch_id: str | None = None
    custom_id: str | None = None

    @property
    def is_item(self) -> bool:
        """Whether the request came in a message batch."""
        return self.batch_id is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The reply, sent after `delay_s`; a dripping body gives a byte each `every_s`.

    A streamed reply has `events`: the first leaves after `first_s`, the last after `delay_s`. A stream that breaks
    has `sent` events, and perhaps an `error`. A body that breaks has `half` of its bytes, or the first half.
    """

    delivery: Delivery = "whole"
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str]
    body: bytes
    delay_s: float = 0.0
    every_s: float = 0.2
    events: tuple[bytes, ...] = ()
    sent: int = 0
    error: bytes = b""
    first_s: float = 0.0
    half: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visit:
    """A request being answered: its chance, its time and its ids."""

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
        """Answer a request to /v1/messages, or an item of a message batch; on return the purchase is written."""
        visit = self._visit(incoming)
        per_token, is_item = self.script.bytes_per_token, incoming.is_item
        try:
            prompt = read_prompt(incoming.body, incoming.head, bytes_per_token=per_token, in_batch=is_item)
        except RefusedError as refused:
            return self._error(visit, refused.word, refused.error, model=refused.model)
        if is_item:  # neither noise nor the limits of live requests reach an item
            rule = self._chooser.choose(prompt, visit.job_number, visit.draw, visit.now_s, item=True)
            return self._follow(rule, visit, prompt, self._split_in_batch(prompt, visit))
        split = self._cache.split(prompt, visit.now_s)
        if (noise := self._chooser.noise(visit.draw)) is not None:
            self.tally[f"noise {noise.answer.word}"] += 1
            return self._follow(noise, visit, prompt, split)
        admission = self._limits.admit(prompt.model.group, split.uncached, visit.now_s)
        if admission.wait_s is not None:
            return self._limited(visit, prompt, admission, admission.wait_s)
        rule = self._chooser.choose(prompt, visit.job_number, visit.draw, visit.now_s)
        return self._follow(rule, visit, prompt, split)

    def _split_in_batch(self, prompt: Prompt, visit: _Visit) -> Split:
        """Find the prompt in the cache as far as luck allows: items run side by side, on machines apart."""
        batches = self.script.batches
        is_hit = visit.draw.share("cache") < (batches.hits_1h if prompt.ttl == "1h" else batches.hits_5m)
        return (self._cache if is_hit else PromptCache()).split(prompt, visit.now_s)

    def _follow(self, rule: Rule, visit: _Visit, prompt: Prompt, split: Split) -> Reply:
        """Answer by a rule."""
        billed = rule.answer.billed if rule.billed is None else rule.billed
        if not billed and rule.answer.content in ("error", "page"):
            return self._reply(visit, prompt, rule, None, billed=False)
        is_item = visit.incoming.is_item
        generated = generate(prompt, rule, split, visit.text_draw, tier="batch" if is_item else "standard")
        self._cache.keep(prompt, visit.now_s)
        if not is_item:
            self._limits.charge_output(prompt.model.group, generated.usage.output)
        return self._reply(visit, prompt, rule, generated, billed=billed and not generated.is_free)

    def _visit(self, incoming: Incoming) -> _Visit:
        digest = blake2b(_STREAM.sub(b"", incoming.body), digest_size=16).digest()
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
        answer, status, page = rule.answer, status_of(rule), page_of(rule)
        body = body_of(rule, prompt, generated, message_id=message_id, request_id=visit.request_id)
        events = tuple(events_of(body)) if prompt.body.get("stream") and page is None else ()
        sent = len(events) // 2 if rule.after_events is None else rule.after_events
        first_s, whole_s = self._takes_s(visit, rule, generated)
        if generated and answer.delivery in BREAKING:
            generated = stopped(generated, sent, len(events))
        self._write(
            visit,
            message_id=message_id if generated else None,
            requested_model=str(prompt.body["model"]),
            served_model=generated.served.id if generated else None,
            status=None if answer.delivery in ("hang", "reset_before") else status,
            answer=answer.word,
            rule=rule.number or None,
            stop_reason=generated.stop_reason if generated else None,
            usage=generated.usage.as_api() if generated else None,
            billed_nano_usd=bill(generated.served, generated.usage) if generated and billed else 0,
        )
        return Reply(
            delivery=answer.delivery,
            status=status,
            content_type=page.media_type if page else "application/json",
            headers=dict(page.headers) if page else self._headers(visit, prompt) | self._advice(rule),
            body=body,
            delay_s=whole_s + rule.delay_s,
            every_s=rule.every_s,
            events=events,
            sent=sent,
            error=error_event(rule.error_type, rule.error_type.removesuffix("_error").title()),
            first_s=first_s,
        )

    def _advice(self, rule: Rule) -> dict[str, str]:
        if rule.retry_after_s is None:
            return {}
        form = rule.retry_after_form or self.script.retry_after_form
        return retry_after(rule.retry_after_s, form, self.utc_now())

    def _takes_s(self, visit: _Visit, rule: Rule, generated: Generated | None) -> tuple[float, float]:
        """Draw the seconds to the first event, and to the end: with `tokens_per_s` the output takes time."""
        if generated is None:
            return 0.0, self._error_s(visit)
        per_s, latency_s = rule.tokens_per_s or self.script.tokens_per_s, visit.draw.latency_s(self.latency_s)
        return latency_s, latency_s + (generated.usage.output / per_s if per_s else 0)

    def _limited(self, visit: _Visit, prompt: Prompt, admission: Admission, wait_s: int) -> Reply:
        error = ApiError(status=429, type="rate_limit_error", message=filled(admission.message, prompt))
        advice = retry_after(wait_s, self.script.retry_after_form, self.utc_now())
        headers = self._headers(visit, prompt) | advice
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
        """Refuse a request without a rule: a wrong request or a full bucket."""
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
        """Draw the seconds of an error, which takes far less time than an answer with a latency."""
        return visit.draw.latency_s(min(self.latency_s, _ERROR_S))

    def _write(self, visit: _Visit, **fields: object) -> None:
        purchase = Purchase(
            at=self.utc_now().isoformat(),
            request_id=visit.request_id,
            job=visit.incoming.job,
            job_number=visit.job_number,
            attempt=visit.incoming.attempt,
            version=visit.incoming.head.version,
            betas=visit.incoming.head.betas,
            batch_id=visit.incoming.batch_id,
            custom_id=visit.incoming.custom_id,
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
