"""What one side was asked and what came of it, in the same shape for all sides."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from producer.simulator.process import RunningSimulator
from producer.simulator.request.catalog import find
from tests.benchmarks.chain.referee import Call

CHAIN = ("claude-opus-4-7", "claude-sonnet-4-6", "claude-haiku-4-5-20251001")


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchPrompt:
    """One prompt; `id` is its place, from 0; no `task` is an empty one."""

    id: int
    task: str
    text: str
    max_tokens: int = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is run: the simulator's script, the calls one side may have in the air, and how long it may take.

    After `for_s` a peer takes no new prompt; after `limit_s` any side is stopped. None: until all have ended. A model
    `cloud/NAME` of the chain is at a second endpoint, which is a simulator without a script.
    """

    script: str
    asked: Sequence[BenchPrompt]
    threads: int
    limit_s: float
    latency_s: float = 1.0
    for_s: float | None = None
    chain: Sequence[str] = CHAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How one prompt ended for the person who asked; `error` is the type of the exception, or the outcome."""

    id: int
    is_ok: bool
    model: str | None = None
    text: str | None = None
    stop_reason: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One side's run. `wall_s` is until the last prompt ended; `is_cut`: it was stopped before.

    `parked` counts jobs that waited for a later round of their chain, if known.
    """

    side: str
    ends: Sequence[End]
    calls: Sequence[Call]
    billed_nano_usd: int
    wall_s: float
    is_cut: bool = False
    parked: int | None = None

    @property
    def succeeded(self) -> int:
        """How many prompts have an answer."""
        return sum(end.is_ok for end in self.ends)

    @property
    def failed(self) -> int:
        """How many prompts ended without one."""
        return len(self.ends) - self.succeeded


def ran(
    side: str, simulator: RunningSimulator, started: datetime, ends: Sequence[End], *, after: int = 0, **how: Any
) -> Ran:
    """Put a run together with what the simulator wrote down since it started, but for the first `after` purchases."""
    purchases = simulator.purchases()[after:]
    return Ran(
        side=side,
        ends=ends,
        calls=[_call(purchase, started) for purchase in purchases],
        billed_nano_usd=sum(purchase["billed_nano_usd"] for purchase in purchases),
        **how,
    )


def _call(purchase: dict[str, Any], started: datetime) -> Call:
    model, usage = find(purchase["requested_model"] or ""), purchase["usage"] or {}
    return Call(
        at_s=(datetime.fromisoformat(purchase["at"]) - started).total_seconds(),
        group="" if model is None else model.group,
        status=purchase["status"],
        input_tokens=usage.get("input_tokens", 0) + usage.get("cache_creation_input_tokens", 0),
        output_tokens=usage.get("output_tokens", 0),
    )
