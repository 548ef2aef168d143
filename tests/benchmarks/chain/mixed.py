"""A day's mixture: what an accepted answer costs when each task begins with the cheapest model that will do.

80 % summaries, 15 % extraction, 5 % synthesis. How often a model does each task well is made up here, in `_FAULTS`;
what is compared is what a way of choosing models makes of it, beside asking the best model always and the cheapest
first. An answer is accepted by the same eyes for all (`is_accepted`): whole, and what its task asks for. Of the sizes
that the price depends on, extraction reads half as much as the others; every answer is of a few sentences.

The share of the money that synthesis on the primary takes grows with the notes it reads: at the sizes here about 6 %.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.chain.fleet import run_fleet
from tests.benchmarks.chain.peer import run_peer
from tests.benchmarks.chain.prompts import WORDS, mixed_prompts
from tests.benchmarks.chain.ran import CHAIN, BenchPrompt, End, Load, Ran
from tests.benchmarks.chain.table import Column, failed_of, percent

_JOBS, _QUICK_JOBS = 2000, 400
_IN_FLIGHT = 64
_LIMIT_S = 300
_OPUS, _SONNET, _HAIKU = CHAIN
_LEAST_CHARACTERS = 20
_WELL = json.dumps({"name": "Westercon", "year": 1980})
# (task, the simulator's answer, its text, share of it by model). `{` is JSON that was begun, `Yes.` no paragraph.
_FAULTS = (
    ("summarize", "max_tokens", "", {_OPUS: 0.005, _SONNET: 0.01, _HAIKU: 0.03}),
    ("summarize", "text", "", {_OPUS: 0.001, _SONNET: 0.002, _HAIKU: 0.01}),
    ("summarize", "refusal", "", {_OPUS: 0.001, _SONNET: 0.002, _HAIKU: 0.005}),
    ("extract", "text", "{", {_OPUS: 0.02, _SONNET: 0.05, _HAIKU: 0.15}),
    ("synthesize", "text", "Yes.", {_OPUS: 0.03, _SONNET: 0.25, _HAIKU: 0.60}),
)
_SETTINGS = {
    "TASK_STARTS": f"summarize:{_HAIKU},extract:{_HAIKU},synthesize:{_OPUS}",
    "CLIMB_ON": "truncated,refused",
}
_KINDS = f"""
[summarize]
climb_on = ["truncated", "empty", "refused", "invalid"]
[summarize.expects]
min_chars = {_LEAST_CHARACTERS}

[extract]
climb_on = ["truncated", "empty", "refused", "invalid"]
[extract.expects]
json_schema = {{ type = "object", required = ["name", "year"] }}

[synthesize]
climb_on = ["truncated", "empty", "refused", "invalid"]
[synthesize.expects]
min_chars = {_LEAST_CHARACTERS}
"""
COLUMNS = (
    Column("accepted", lambda row: percent(row["acceptance"]), "no lower"),
    Column("failed", failed_of, ""),
    Column("calls", lambda row: str(row["calls"]), ""),
    Column("USD", lambda row: f"{row['usd']:.2f}", ""),
    Column("USD/1000 accepted", lambda row: f"{1000 * row['usd_per_accepted']:.2f}", ""),
    Column("of always-primary", lambda row: percent(row["of_always_primary"]), "<= 30 %"),
)


def run(*, peers: bool, ours: bool, is_quick: bool, say: Callable[[Ran], None]) -> list[dict[str, Any]]:
    """Run always-primary, which the others are measured by, then the cheapest first, and ours."""
    load = Load(
        script=script(),
        asked=mixed_prompts(_QUICK_JOBS if is_quick else _JOBS),
        threads=_IN_FLIGHT,
        limit_s=_LIMIT_S,
    )
    sides: list[Callable[[], Ran]] = [lambda: run_peer("article", load, side="always primary")]
    if peers:
        sides.append(lambda: run_peer("article", load, chain=CHAIN[::-1], side="cheapest first"))
    if ours:
        sides.insert(0, lambda: _run_ours(load))
    rows = []
    for side in sides:
        ran = side()
        say(ran)
        rows.append(row_of(ran, load))
    primary = next(row["usd_per_accepted"] for row in rows if row["side"] == "always primary")
    return [{**row, "of_always_primary": row["usd_per_accepted"] / primary} for row in rows]


def _run_ours(load: Load) -> Ran:
    with TemporaryDirectory(prefix="bench-kinds-") as folder:
        kinds = Path(folder, "kinds.toml")
        kinds.write_text(_KINDS, encoding="utf-8")
        return run_fleet(load, **_SETTINGS, TASKS_FILE=str(kinds))


def script() -> str:
    """Write the faults as rules; a share is of what the rules before let through: nearly the same at a few percent."""
    rules = [
        _rule(task, answer, text, model=model, share=share)
        for task, answer, text, shares in _FAULTS
        for model, share in shares.items()
    ]
    return "".join([*rules, _rule("extract", "text", _WELL)])


def _rule(task: str, answer: str, text: str, *, model: str | None = None, share: float = 1) -> str:
    lines = [f"prompt_contains = {json.dumps(WORDS[task])}", f"share = {share}", f"answer = {json.dumps(answer)}"]
    lines += [f"model = {json.dumps(model)}"] if model else []
    lines += [f"text = {json.dumps(text)}"] if answer == "text" else []
    return "\n".join(["[[rules]]", *lines, ""])


def row_of(ran: Ran, load: Load) -> dict[str, Any]:
    """Judge a side by its answers and by what the simulator billed."""
    asked = {prompt.id: prompt for prompt in load.asked}
    accepted = sum(is_accepted(asked[end.id], end) for end in ran.ends)
    usd = ran.billed_nano_usd / 1e9
    return {
        "side": ran.side,
        "prompts": len(load.asked),
        "succeeded": ran.succeeded,
        "failed": ran.failed,
        "is_cut": ran.is_cut,
        "makespan_s": ran.wall_s,
        "accepted": accepted,
        "acceptance": accepted / len(load.asked),
        "calls": len(ran.calls),
        "usd": usd,
        "usd_per_accepted": usd / max(1, accepted),
        "models": _by_model(ran),
    }


def is_accepted(asked: BenchPrompt, end: End) -> bool:
    """Tell whether whoever asked could use it: a whole answer, and JSON with both fields where JSON was asked for."""
    if not end.is_ok or end.stop_reason != "end_turn" or end.text is None:
        return False
    if asked.task != "extract":
        return len(end.text) >= _LEAST_CHARACTERS
    with suppress(ValueError):
        fields = json.loads(end.text)
        return isinstance(fields, dict) and fields.keys() >= {"name", "year"}
    return False


def _by_model(ran: Ran) -> Mapping[str, int]:
    models = [end.model or "none" for end in ran.ends]
    return {model: models.count(model) for model in sorted(set(models))}
