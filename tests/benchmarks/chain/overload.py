"""Five times what the limits let through: who uses all of them, and at what price in calls.

One run in which a different limit binds in each group: requests for opus-4, output tokens for sonnet-4, input tokens
for haiku-4-5. Three runs with one kind each would ask less: whoever counts only requests, or has one notion of "full"
for all models, passes a third of them; here it loses a third of the quota in the only run there is. And all three
kinds are set in every group, half as large again as the binding one, as a real account has them. Buckets are full at
the start, as they are for whoever comes to a key that has rested.

The threads could send five times what refills: 100 in the air at about 1.06 s a call, against 18 calls a second.
`ideal` is for the prompts a side did answer: to fail is no way to be quick.

Ours runs twice. A makespan is held to its target with PATIENCE_S=0, as somebody sets it who wants a batch soonest; at
the default a job waits up to 5 s for a better model, and the last jobs do so while a worse one has room.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from tests.benchmarks.chain import referee
from tests.benchmarks.chain.fleet import run_fleet
from tests.benchmarks.chain.prompts import overload_prompts
from tests.benchmarks.chain.ran import Load, Ran
from tests.benchmarks.chain.table import Column, failed_of, percent

_IN_FLIGHT, _QUICK_IN_FLIGHT = 100, 44
_JOBS, _QUICK_JOBS = 2000, 600
_A_MINUTE, _QUICK_A_MINUTE = 360, 166  # jobs a group lets through, by its binding limit
_LOOSE = 1.5
_LIMIT_S = 300
# What the mean call takes, measured once; what was really taken is read from each side's own calls.
_MEAN_INPUT, _MEAN_OUTPUT = 189, 69
OURS: Mapping[str, Callable[[Load], Ran]] = {
    "stepdown": partial(run_fleet, PATIENCE_S="0"),
    "stepdown, 5 s": partial(run_fleet, side="stepdown, 5 s"),
}
_BINDS = {"opus-4": "requests", "sonnet-4": "output_tokens", "haiku-4-5": "input_tokens"}
COLUMNS = (
    Column("failed", failed_of, "0"),
    Column("calls/success", lambda row: f"{row['calls_per_success']:.2f}", "<= 1.02"),
    Column("makespan", lambda row: f"{row['makespan_s']:.0f} s", ""),
    Column("ideal", lambda row: f"{row['ideal_s']:.0f} s", ""),
    Column("ratio", lambda row: f"{row['makespan_ratio']:.2f}", "<= 1.10"),
    Column("quota", lambda row: percent(row["quota_shares"]["all"]), ">= 95 %"),
    Column("opus/sonnet/haiku", lambda row: " ".join(percent(row["quota_shares"][group]) for group in _BINDS), ""),
    Column("429", lambda row: percent(row["share_429"]), "< 1 %"),
    Column("USD", lambda row: f"{row['usd']:.2f}", ""),
)


def run(
    sides: Mapping[str, Callable[[Load], Ran]], *, is_quick: bool, say: Callable[[Ran], None]
) -> list[dict[str, Any]]:
    """Run each side alone, one after the other."""
    a_minute = _QUICK_A_MINUTE if is_quick else _A_MINUTE
    load = Load(
        script=script_of(limits_of(a_minute)),
        asked=overload_prompts(_QUICK_JOBS if is_quick else _JOBS),
        threads=_QUICK_IN_FLIGHT if is_quick else _IN_FLIGHT,
        limit_s=_LIMIT_S,
    )
    rows = []
    for side in sides.values():
        ran = side(load)
        say(ran)
        rows.append(row_of(ran, len(load.asked), limits_of(a_minute)))
    return rows


def limits_of(a_minute: int) -> dict[str, dict[str, int]]:
    """Set the limits of each group so that its own kind lets so many mean jobs a minute through."""
    means = {"requests": 1, "input_tokens": _MEAN_INPUT, "output_tokens": _MEAN_OUTPUT}
    return {
        group: {kind: int(a_minute * mean * (1 if kind == binds else _LOOSE)) for kind, mean in means.items()}
        for group, binds in _BINDS.items()
    }


def script_of(limits: Mapping[str, Mapping[str, int]]) -> str:
    """Write the limits as the simulator reads them."""
    tables = (
        f"[limits.{json.dumps(group)}]\n" + "".join(f"{kind}_per_minute = {limit}\n" for kind, limit in kinds.items())
        for group, kinds in limits.items()
    )
    return "\n".join(tables)


def row_of(ran: Ran, prompts: int, limits: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Judge a side by the calls the provider saw."""
    needs = referee.needs_of(ran.calls)
    ideal_s = referee.ideal_makespan_s(ran.succeeded, limits, needs)
    return {
        "side": ran.side,
        "prompts": prompts,
        "succeeded": ran.succeeded,
        "failed": ran.failed,
        "is_cut": ran.is_cut,
        "calls": len(ran.calls),
        "calls_per_success": len(ran.calls) / max(1, ran.succeeded),
        "makespan_s": ran.wall_s,
        "ideal_s": ideal_s,
        "makespan_ratio": ran.wall_s / ideal_s if ideal_s else float("inf"),
        "quota_shares": referee.quota_shares(ran.calls, limits, needs),
        "share_429": referee.share_answered(ran.calls, 429),
        "usd": ran.billed_nano_usd / 1e9,
        "needs": needs,
        "errors": _errors(ran),
    }


def _errors(ran: Ran) -> Sequence[str]:
    return sorted({end.error for end in ran.ends if end.error is not None and not end.is_ok})
