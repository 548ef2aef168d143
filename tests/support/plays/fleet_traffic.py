"""A fleet before a provider with the API's buckets, as a play of events on its own clock: minutes take a second."""

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from producer.simulator.account.buckets import Limits, RateLimits
from worker.admission.admission import FULL, LIMITED, Denied, Granted, Request, Result, ResultKind
from worker.admission.lua_script import LuaScript
from worker.admission.shared import part_of_limits

MODEL, GROUP = "opus", "opus-4"


@dataclass(slots=True)
class Play:
    """Things that happen at their time, one after the other. Times are seconds."""

    at: float = 1_800_000_000.0
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _numbers: Any = field(default_factory=count)

    def now(self) -> float:
        """Tell the time."""
        return self.at

    def after(self, seconds: float, happens: Callable[[], None]) -> None:
        """Have it happen after so long."""
        heapq.heappush(self._events, (self.at + seconds, next(self._numbers), happens))

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        until = self.at + seconds
        while self._events and self._events[0][0] <= until:
            self.at, _, happens = heapq.heappop(self._events)
            happens()
        self.at = until


@dataclass(slots=True, kw_only=True)
class Api:
    """The provider: buckets, latencies of seconds, and an outage where a test says so."""

    play: Play
    draw: random.Random
    limits: Limits
    latency_s: float = 2.0
    is_out: bool = False
    buckets: RateLimits = field(init=False)
    calls: list[tuple[float, str]] = field(default_factory=list)  # when, and how it ended
    used: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Fill the buckets."""
        self.buckets = RateLimits({GROUP: self.limits}, self.play.at)

    def call(self, read: int, written: int, ends: Callable[..., None]) -> None:
        """Take a request in, and have its end told when it has ended."""
        if self.is_out:
            self._note("overloaded")
            self.play.after(0.2, lambda: ends("overloaded"))
            return
        admission = self.buckets.admit(GROUP, read, self.play.at)
        limits = self._headers()
        if admission.wait_s is not None:
            self._note("limited")
            self.play.after(0.1, lambda: ends("limited", retry_after_s=float(admission.wait_s or 0), limits=limits))
            return
        latency_s = self.latency_s * self.draw.lognormvariate(0, 0.4)
        self._note("well")
        self.used.update({"requests": 1, "input": read})

        def answered() -> None:
            self.buckets.charge_output(GROUP, written)
            self.used["output"] += written
            words = {"latency_ms": round(latency_s * 1000), "input_tokens": read, "output_tokens": written}
            ends("well", limits=limits, **words)

        self.play.after(latency_s, answered)

    def take(self, kind: str, amount: float) -> None:
        """Let others with the same key use so much."""
        bucket = self.buckets._groups[GROUP][kind]  # noqa: SLF001 - others are no part of the simulator
        bucket.refill(self.play.at)
        bucket.level -= amount

    def share(self, how: str) -> float:
        """Tell what share of all calls ended so."""
        return sum(ended == how for _, ended in self.calls) / len(self.calls)

    def _headers(self) -> dict[str, tuple[int, int]]:
        rows = self.buckets.headers(GROUP, self.play.at)
        return {name.removesuffix("-tokens"): (limit, left) for name, limit, left, _ in rows}

    def _note(self, how: str) -> None:
        self.calls.append((self.play.at, how))


@dataclass(slots=True, kw_only=True)
class Fleet:
    """Workers that ask admission control before each call, and do with its answer what a walk does."""

    play: Play
    draw: random.Random
    api: Api
    scripts: list[LuaScript]  # one for all workers, or one for each, which then has its part of the limits
    patience_s: float = 10.0
    tokens: tuple[int, int] = (1_000, 300)
    stepped_down: int = 0
    _numbers: Any = field(default_factory=count)

    def load(self, *, jobs_a_second: float, seconds: float) -> None:
        """Have jobs come at random."""
        at = self.draw.expovariate(jobs_a_second)
        while at < seconds:
            self.play.after(at, self._job)
            at += self.draw.expovariate(jobs_a_second)

    def _job(self) -> None:
        admission = self.draw.choice(self.scripts)
        read, written = (round(each * self.draw.lognormvariate(0, 0.5)) + 1 for each in self.tokens)
        self._ask(admission, f"job {next(self._numbers)}", (read, written), has_waited=False, held_s=0.0)

    def _ask(self, admission: LuaScript, job: str, sizes: tuple[int, int], *, has_waited: bool, held_s: float) -> None:
        read, written = sizes
        guessed = round(read * self.draw.uniform(0.8, 1.2)), round(self.tokens[1])
        ticket = f"t{next(self._numbers)}"
        need = Request(
            ticket=ticket,
            job=job,
            model=MODEL,
            group=GROUP,
            input_tokens=guessed[0],
            output_tokens=guessed[1],
            hold_s=150,
            patience_s=1 - held_s if has_waited else self.patience_s,
            has_waited=has_waited or held_s > 0,
        )
        again = self._asks_again(admission, job, sizes)
        match admission.acquire(need):
            case Granted(after_s=after_s):
                travel_s = self.draw.uniform(0.01, 0.1)
                self.play.after(
                    after_s + travel_s, lambda: self.api.call(read, written, self._reporter(admission, need))
                )
            case Denied(reason=reason, wait_s=wait_s) if reason == FULL and held_s + wait_s <= 1:
                self.play.after(wait_s, lambda: again(has_waited=has_waited, held_s=held_s + wait_s))
            case Denied(reason=reason, wait_s=wait_s) if reason in {LIMITED, FULL} and wait_s <= self.patience_s:
                if has_waited:
                    self.stepped_down += 1
                else:
                    self.play.after(wait_s, lambda: again(has_waited=True, held_s=0.0))
            case _:
                self.stepped_down += 1

    def _asks_again(self, admission: LuaScript, job: str, sizes: tuple[int, int]) -> Callable[..., None]:
        return lambda **words: self._ask(admission, job, sizes, **words)

    def _reporter(self, admission: LuaScript, need: Request) -> Callable[..., None]:
        def ends(how: ResultKind, **words: Any) -> None:
            limits = part_of_limits(words.pop("limits", {}), len(self.scripts))
            admission.release(
                Result(ticket=need.ticket, model=need.model, group=need.group, how=how, limits=limits, **words)
            )

        return ends
