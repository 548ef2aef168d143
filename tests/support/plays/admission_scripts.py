"""Turnstiles for tests: both hosts of the script, on a clock that a test sets, and short words for asking."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import redis

from worker.admission.admission import Change, Denied, Granted, Request, Result, ResultKind
from worker.admission.in_process import InProcessRedis
from worker.admission.lua_script import TEXT, LuaScript, Run, Tuning
from worker.admission.own_measurements import RepeatedFailures
from worker.admission.shared import part_of_state

PREFIX = "stepdown:admission:tests:"
STATED_GROUP, STATED = "stated-4", 600  # requests a minute that the operator states
PROBE_EVERY_S, KEY_PAUSE_S = 5.0, 60.0
FIRST = 16  # calls in flight of a model nobody knows yet


@dataclass(slots=True)
class Clock:
    """A clock that stands still until a test moves it. It tells seconds."""

    at: float = 1_800_000_000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.at

    def pass_s(self, seconds: float) -> None:
        """Let time pass."""
        self.at += seconds


def in_memory(clock: Callable[[], float], memory: InProcessRedis | None = None) -> LuaScript:
    """Make admission control in this process."""
    return _script((memory or InProcessRedis(PREFIX)).run, clock)


def parted(memory: InProcessRedis, clock: Callable[[], float], workers: int) -> list[LuaScript]:
    """Make the admission scripts of workers that go on alone with what one memory knew."""
    known = memory.copied()
    parts = [InProcessRedis(PREFIX) for _ in range(workers)]
    for part in parts:
        part.fill({key: part_of_state(text, workers) for key, text in known.items()})
    return [_script(part.run, clock) for part in parts]


def in_redis(url: str, clock: Callable[[], float], *, empty: bool = False) -> LuaScript:
    """Make admission control in Redis, which forgets what it knew where it is to be `empty`."""
    client = redis.Redis.from_url(url)
    if empty:
        client.flushdb()
    script = client.register_script(TEXT)
    return _script(lambda group: [script(keys=[PREFIX], args=list(words)) for words in group], clock)


def restated(admission: LuaScript, requests_per_minute: Mapping[str, int]) -> LuaScript:
    """Start again with other stated limits, on what the fleet knows."""
    tuning = Tuning(probe_every_s=PROBE_EVERY_S, key_pause_s=KEY_PAUSE_S, requests_per_minute=requests_per_minute)
    return LuaScript(admission._run_script, tuning, now=admission._now)  # noqa: SLF001 - the state outlives a worker


def _script(run: Run, clock: Callable[[], float]) -> LuaScript:
    tuning = Tuning(probe_every_s=PROBE_EVERY_S, key_pause_s=KEY_PAUSE_S, requests_per_minute={STATED_GROUP: STATED})
    return LuaScript(run, tuning, now=clock)


@dataclass(slots=True)
class Door:
    """One model before admission control: asks and tells with what a test does not care about filled in."""

    admission: LuaScript
    clock: Clock
    model: str = "opus"
    group: str = "opus-4"
    _tickets: Any = field(default_factory=lambda: count(1))
    _asked: dict[str, Request] = field(default_factory=dict)
    _failures: RepeatedFailures = field(init=False)

    def __post_init__(self) -> None:
        """Remember failed jobs by the test's clock."""
        self._failures = RepeatedFailures(self.clock)

    def acquire(self, **words: Any) -> Granted | Denied:
        """Ask for a small request, known as `ticket` or by a number."""
        words.setdefault("ticket", f"{self.model}-{next(self._tickets)}")
        usual = {"job": words["ticket"], "input_tokens": 100, "output_tokens": 50, "hold_s": 150.0, "patience_s": 5.0}
        need = Request(model=self.model, group=self.group, **{**usual, **words})
        need = replace(need, is_again=self._failures.has_failed(need.model, need.job))
        self._asked[need.ticket] = need
        return self.admission.acquire(need)

    def release(self, ticket: str, how: ResultKind = "well", **words: Any) -> Change:
        """Tell how it ended: as it was expected to."""
        usual: dict[str, Any] = {"latency_ms": 1_000}
        if how == "well":
            usual |= {"input_tokens": 100, "output_tokens": 50}
        if ticket in self._asked:
            need = self._asked[ticket]
            usual["is_again"] = need.is_again and how == "server_error"
            usual["is_own_fault"] = self._failures.add(self.model, need.job, how)
        return self.admission.release(
            Result(ticket=ticket, model=self.model, group=self.group, how=how, **{**usual, **words})
        )

    def through(self, how: ResultKind = "well", *, job: str = "", **words: Any) -> Change:
        """Have one request pass, of a job of its own or of this one, and end so after no time."""
        ticket = f"{self.model}-passing-{next(self._tickets)}"
        answer = self.acquire(ticket=ticket, job=job or ticket)
        assert isinstance(answer, Granted), answer
        return self.release(ticket, how, **words)

    def leave(self, how_many: int, **words: Any) -> list[str]:
        """Have so many requests leave, and return their tickets."""
        tickets = [f"{self.model}-leaving-{next(self._tickets)}" for _ in range(how_many)]
        for ticket in tickets:
            answer = self.acquire(ticket=ticket, **words)
            assert isinstance(answer, Granted), answer
        return tickets

    def open(self, how: ResultKind = "overloaded", *, after: int = 3) -> None:
        """Take the model out of rotation by so many failures."""
        assert [self.through(how) for _ in range(after)] == [*[""] * (after - 1), "opened"]
