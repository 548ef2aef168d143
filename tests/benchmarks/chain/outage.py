"""The primary is down for two minutes, then all three models for one: what was wasted, lost, and how soon it was over.

One run a side, with sixteen calls in the air all the time: ten seconds in order, the primary answering 529, twenty
seconds in order, everything answering 529, forty seconds to recover. The peers run side by side, each against a
simulator of its own: what is read of them is counts, and they are not waited for one after the other.

`onset`: calls that came within a second of the beginning of the outage. Those are the ones in the air, and the
evidence; nobody can know before. `wasted/5 s` is what came after it, per probe interval. Rates are those of calls let
in and answered, by the second; `90 % after` is the first second at that rate that begins five whose median is.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.chain import referee
from tests.benchmarks.chain.prompts import overload_prompts
from tests.benchmarks.chain.ran import Load, Ran
from tests.benchmarks.chain.table import Column, failed_of

_PROBE_EVERY_S = 5
_ONSET_S = 1
_IN_FLIGHT = 16
_LET_IN_A_SECOND = 16  # at most: sixteen in the air, about a second each
_ALIVE = 0.9
_AFTER_S = 150  # what the last waits of a side may take after the timeline
OVERLOADED = 529


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Whole seconds from the start: when the primary goes and is back, when all go and are back, when it is over."""

    primary_from: int
    primary_to: int
    all_from: int
    all_to: int
    end: int


_WHOLE = Timeline(primary_from=10, primary_to=130, all_from=150, all_to=210, end=250)
_QUICK = Timeline(primary_from=6, primary_to=27, all_from=36, all_to=46, end=66)
COLUMNS = (
    Column("failed", failed_of, "0"),
    Column("onset", lambda row: str(row["primary"]["at_onset"]), ""),
    Column("wasted/5 s", lambda row: f"{row['primary']['per_interval']:.2f}", "<= 1"),
    Column("most in 5 s", lambda row: str(row["primary"]["most_in_one"]), ""),
    Column("all down: onset", lambda row: str(row["everything"]["at_onset"]), ""),
    Column("wasted/5 s", lambda row: f"{row['everything']['per_interval']:.2f}", ""),
    Column("rate before", lambda row: f"{row['rate']:.0f}/s", ""),
    Column("90 % after", lambda row: _after(row["recovery_s"]), "<= 10 s"),
    Column("calls/success", lambda row: f"{row['calls_per_success']:.2f}", ""),
)


def run(
    sides: Mapping[str, Callable[[Load], Ran]], *, is_quick: bool, say: Callable[[Ran], None]
) -> list[dict[str, Any]]:
    """Run our side alone, and then the peers side by side."""
    timeline = _QUICK if is_quick else _WHOLE
    load = Load(
        script=script_of(timeline),
        asked=overload_prompts(_LET_IN_A_SECOND * (timeline.end - timeline.all_to + timeline.all_from)),
        threads=_IN_FLIGHT,
        limit_s=timeline.end + _AFTER_S,
        for_s=timeline.end,
    )
    rows = []
    ours = {name: side for name, side in sides.items() if name == "stepdown"}
    for together in (ours, {name: side for name, side in sides.items() if name not in ours}):
        with ThreadPoolExecutor(max(1, len(together))) as pool:
            for ran in pool.map(lambda side: side(load), together.values()):
                say(ran)
                rows.append(row_of(ran, len(load.asked), timeline))
    return rows


def script_of(timeline: Timeline) -> str:
    """Write the timeline as the simulator reads it."""
    return (
        f"[[rules]]\nmodel = 'opus'\nanswer = 529\nfrom_s = {timeline.primary_from}\nto_s = {timeline.primary_to}\n"
        f"[[rules]]\nanswer = 529\nfrom_s = {timeline.all_from}\nto_s = {timeline.all_to}\n"
    )


def row_of(ran: Ran, prompts: int, timeline: Timeline) -> dict[str, Any]:
    """Judge a side by the calls the provider saw."""
    answered = [call.at_s for call in ran.calls if call.is_answered]
    wasted = [call for call in ran.calls if call.status == OVERLOADED]
    rate = referee.full_rate(answered, from_s=timeline.all_from - 10, to_s=timeline.all_from)
    watched = int(min(timeline.end, max(timeline.all_to, referee.work_ended_s(ran.calls))))
    return {
        "side": ran.side,
        "prompts": prompts,
        "succeeded": ran.succeeded,
        "failed": ran.failed,
        "is_cut": ran.is_cut,
        "makespan_s": ran.wall_s,
        "calls": len(ran.calls),
        "calls_per_success": len(ran.calls) / max(1, ran.succeeded),
        "primary": waste([call.at_s for call in wasted], timeline.primary_from, timeline.primary_to),
        "everything": waste([call.at_s for call in wasted], timeline.all_from, timeline.all_to),
        "rate": rate,
        "recovery_s": referee.recovery_s(answered, at_s=timeline.all_to, to_s=watched, rate=_ALIVE * rate),
        "answered_per_second": referee.per_second(answered, from_s=0, to_s=timeline.end),
    }


def waste(failed_at_s: list[float], from_s: float, to_s: float) -> dict[str, float]:
    """Count failed calls of an outage: at its onset, and an interval of probes after that."""
    wasted = referee.waste(failed_at_s, from_s=from_s, to_s=to_s, interval_s=_PROBE_EVERY_S, onset_s=_ONSET_S)
    return {
        "at_onset": wasted.at_onset,
        "later": wasted.later,
        "per_interval": wasted.per_interval,
        "most_in_one": wasted.most_in_one,
    }


def _after(seconds: int | None) -> str:
    return "never" if seconds is None else f"{seconds} s"
