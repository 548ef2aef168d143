"""A little noise of each kind, all limits far away: how much speed and quality it costs, and how soon it is over.

A share of all requests is answered 429 (with a retry-after of a second), as many 500, as many 529. `of clean` compares
jobs a second with the side's own first row, `primary` is the share of answers from the first model. Ours then waits
five seconds without noise and submits a second batch: `after` compares it with a clean fleet's second batch.

`half the limits` has 1 % of noise, and a primary whose requests limit lets half of the batch through at once. Its
makespan stands beside the least one that the limits of all models allow.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from tests.benchmarks.chain import referee
from tests.benchmarks.chain.fleet import answered, submitted_to
from tests.benchmarks.chain.peer import run_peer
from tests.benchmarks.chain.prompts import overload_prompts
from tests.benchmarks.chain.ran import CHAIN, Load, Ran
from tests.benchmarks.chain.table import Column, failed_of, percent

_JOBS, _QUICK_JOBS = 3000, 400
_CALM_JOBS, _QUICK_CALM_JOBS = 1000, 200
_THREADS, _LIMIT_S, _CALM_S = 128, 400, 5.0
_SHARES = {"none": 0.0, "0.2 %": 0.002, "1 %": 0.01, "3 %": 0.03}
_HALF = "1 %, half the limits"
_FAR = 1_000_000_000
_GROUPS = ("opus-4", "sonnet-4", "haiku-4-5")
COLUMNS = (
    Column("failed", failed_of, "0"),
    Column("jobs/s", lambda row: f"{row['rate']:.0f}", ""),
    Column("of clean", lambda row: _percent(row["of_clean"]), "1 %: >= 90 %"),
    Column("primary", lambda row: percent(row["primary"]), "1 %: >= 95 %"),
    Column("calls/success", lambda row: f"{row['calls_per_success']:.3f}", ""),
    Column("after: of clean", lambda row: _percent(row["after_of_clean"]), ""),
    Column("primary", lambda row: _percent(row["after_primary"]), ""),
    Column("makespan", lambda row: f"{row['makespan_s']:.0f} s", ""),
    Column("ideal", lambda row: f"{row['ideal_s']:.0f} s" if row["ideal_s"] else "", ""),
)


def run(sides: Sequence[str], *, is_quick: bool, say: Callable[[Ran], None]) -> list[dict[str, Any]]:
    """Run each side at each level of noise, alone; of the peers only those in `sides`."""
    jobs, calm_jobs = (_QUICK_JOBS, _QUICK_CALM_JOBS) if is_quick else (_JOBS, _CALM_JOBS)
    rows: list[dict[str, Any]] = []
    for side in sides:
        run_side = partial(_run_fleet, calm_jobs=calm_jobs) if side == "stepdown" else partial(_run_peer, side)
        clean: dict[str, Any] | None = None
        for level in (*_SHARES, _HALF):
            limits = limits_of(jobs, is_half=level == _HALF)
            load = Load(
                script=script_of(_SHARES.get(level, 0.01), limits),
                asked=overload_prompts(jobs),
                threads=_THREADS,
                limit_s=_LIMIT_S,
            )
            ended, after = run_side(load)
            say(ended)
            row = row_of(f"{side}, {level}", ended, after, limits if level == _HALF else {}, clean=clean)
            clean = clean or row
            rows.append(row)
    return rows


def limits_of(jobs: int, *, is_half: bool) -> dict[str, dict[str, int]]:
    """Set requests limits far away, or such that the first model's bucket holds half of the jobs."""
    a_minute = jobs // 2 if is_half else _FAR
    return {group: {"requests": a_minute} for group in _GROUPS}


def script_of(share: float, limits: Mapping[str, Mapping[str, int]]) -> str:
    """Write noise and limits as the simulator reads them."""
    kinds = ("answer = 429\nretry_after_s = 1", "answer = 500", "answer = 529") if share else ()
    rules = [f"[[rules]]\n{kind}\nshare = {share}\n" for kind in kinds]
    tables = [
        f"[limits.{json.dumps(group)}]\n" + "".join(f"{kind}_per_minute = {limit}\n" for kind, limit in kinds.items())
        for group, kinds in limits.items()
    ]
    return "\n".join([*rules, *tables])


def row_of(
    side: str,
    ended: Ran,
    after: Ran | None,
    limits: Mapping[str, Mapping[str, float]],
    *,
    clean: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Judge a run, beside the same side's clean one."""
    rate, after_rate = _rate(ended), None if after is None else _rate(after)
    ideal_s = referee.ideal_makespan_s(ended.succeeded, limits, {"requests": 1}) if limits else 0.0
    return {
        "side": side,
        "prompts": len(ended.ends),
        "succeeded": ended.succeeded,
        "failed": ended.failed,
        "is_cut": ended.is_cut,
        "rate": rate,
        "of_clean": rate / clean["rate"] if clean else None,
        "primary": _primary(ended),
        "calls_per_success": len(ended.calls) / max(1, ended.succeeded),
        "after_rate": after_rate,
        "after_of_clean": after_rate / clean["after_rate"] if clean and after_rate else None,
        "after_primary": None if after is None else _primary(after),
        "makespan_s": ended.wall_s,
        "ideal_s": ideal_s,
    }


def _run_fleet(load: Load, *, calm_jobs: int) -> tuple[Ran, Ran]:
    with submitted_to(load) as (producer, simulator):
        simulator.set_script(load.script)
        ended = answered(producer, simulator, load, side="stepdown")
        simulator.set_script(script_of(0, limits_of(0, is_half=False)))
        time.sleep(_CALM_S)
        calm = Load(script="", asked=overload_prompts(calm_jobs), threads=load.threads, limit_s=load.limit_s)
        return ended, answered(producer, simulator, calm, side="stepdown, after")


def _run_peer(name: str, load: Load) -> tuple[Ran, None]:
    return run_peer(name, load), None


def _rate(ended: Ran) -> float:
    return ended.succeeded / ended.wall_s


def _primary(ended: Ran) -> float:
    names = [end.model or "" for end in ended.ends if end.is_ok]
    return sum(CHAIN[0].startswith(name.removeprefix("anthropic/")) for name in names) / max(1, len(names))


def _percent(share: float | None) -> str:
    return "" if share is None else percent(share)
