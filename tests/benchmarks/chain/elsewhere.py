"""A whole provider is down for a minute, and the chain has the same models at a second endpoint.

One run a side, ours and then LiteLLM's Router with the same two endpoints: sixteen calls in the air all the time, ten
seconds in order, sixty with the usual provider answering 529 to every model, twenty in order. The second endpoint is
well all the time. Counts are from the purchase log of the usual provider; `onset` and `wasted/5 s` as in the table
`outage`. `parked`: our jobs that found no rung free and waited for a later round.
"""

from collections.abc import Callable, Mapping
from typing import Any

from tests.benchmarks.chain import outage
from tests.benchmarks.chain.prompts import overload_prompts
from tests.benchmarks.chain.ran import Load, Ran
from tests.benchmarks.chain.table import Column, failed_of

CLOUD = "cloud"
CHAIN = (
    *("claude-opus-4-7", f"{CLOUD}/claude-opus-4-7"),
    *("claude-sonnet-4-6", f"{CLOUD}/claude-sonnet-4-6"),
)
SIDES = ("stepdown", "litellm")
_WHOLE, _QUICK = (10, 70, 90), (6, 26, 34)  # seconds: down from, down to, end
_IN_FLIGHT, _AFTER_S = 16, 150
COLUMNS = (
    Column("failed", failed_of, "0"),
    Column("parked", lambda row: "" if row["parked"] is None else str(row["parked"]), "0"),
    Column("answered", lambda row: str(row["succeeded"]), ""),
    Column("onset", lambda row: str(row["down"]["at_onset"]), ""),
    Column("wasted/5 s", lambda row: f"{row['down']['per_interval']:.2f}", "<= 1"),
    Column("most in 5 s", lambda row: str(row["down"]["most_in_one"]), ""),
)


def run(
    sides: Mapping[str, Callable[[Load], Ran]], *, is_quick: bool, say: Callable[[Ran], None]
) -> list[dict[str, Any]]:
    """Run one side after the other."""
    down_from, down_to, end = _QUICK if is_quick else _WHOLE
    load = Load(
        script=f"[[rules]]\nanswer = 529\nfrom_s = {down_from}\nto_s = {down_to}\n",
        asked=overload_prompts(_IN_FLIGHT * end),
        threads=_IN_FLIGHT,
        limit_s=end + _AFTER_S,
        for_s=end,
        chain=CHAIN,
    )
    rows = []
    for side in sides.values():
        ran = side(load)
        say(ran)
        wasted = [call.at_s for call in ran.calls if call.status == outage.OVERLOADED]
        rows.append(
            {
                "side": ran.side,
                "prompts": len(load.asked),
                "succeeded": ran.succeeded,
                "failed": ran.failed,
                "parked": ran.parked,
                "is_cut": ran.is_cut,
                "makespan_s": ran.wall_s,
                "down": outage.waste(wasted, down_from, down_to),
            }
        )
    return rows
