"""The tools `stepdown mcp` offers: what each is called, takes and gives, and what a model reads about it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from producer.mcp import schemas
from producer.mcp.actions import ASK_S, MOST_ROWS, QUERY_S, Desk, Hear, Told


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool: `takes` and `gives` are shapes; `run` gets a `takes`, and who hears of its progress."""

    name: str
    about: str
    takes: type
    gives: type
    run: Callable[[Any, Hear], Awaitable[Told]]
    is_reading: bool = True


def tools_of(desk: Desk, *, most_usd: Decimal) -> list[Tool]:
    """List the tools; `most_usd` is what one call may ask to spend at most, which those that spend say."""
    return [*_spending(desk, most_usd), *_reading(desk)]


def _spending(desk: Desk, most_usd: Decimal) -> list[Tool]:
    cap = f"max_cost_usd is required, at most {most_usd:f} for one call (MCP_MAX_COST_USD), and never passed."
    return [
        Tool(
            name="ask",
            about="Have one prompt answered by a chain of models, ahead of all bulk, and wait for the answer. "
            f"{cap} What takes longer than {ASK_S:g} s goes on: wait for its batch, then read its results.",
            takes=schemas.Ask,
            gives=schemas.Asked,
            run=desk.ask,
            is_reading=False,
        ),
        Tool(
            name="submit",
            about=f"Queue prompts as one batch; returns its id at once, for wait and results. {cap} "
            "With a key the same prompts are bought once, however often they are submitted.",
            takes=schemas.Submit,
            gives=schemas.Submitted,
            run=desk.submit,
            is_reading=False,
        ),
    ]


def _reading(desk: Desk) -> list[Tool]:
    query = (
        "Run one SQL query against the ledger of what everything cost. "
        f"It reads only, ends after {QUERY_S:g} s and gives at most {MOST_ROWS} rows. "
        "The views v_cost_daily, v_jobs, v_attempts and others are made to be asked."
    )
    return [
        Tool(
            name="estimate",
            about="Say what prompts would cost; nothing is spent.",
            takes=schemas.Estimate,
            gives=schemas.Estimated,
            run=desk.estimate,
        ),
        Tool(
            name="status",
            about="Say where a batch is, and what it cost so far.",
            takes=schemas.Status,
            gives=schemas.Where,
            run=desk.status,
        ),
        Tool(
            name="wait",
            about="Wait until a batch has ended, or up_to_s seconds, and say where it is; call again until is_settled.",
            takes=schemas.Wait,
            gives=schemas.Where,
            run=desk.wait,
        ),
        Tool(
            name="results",
            about="Read answers of a batch, in the order they were submitted.",
            takes=schemas.Results,
            gives=schemas.Page,
            run=desk.results,
        ),
        Tool(name="ledger_query", about=query, takes=schemas.LedgerQuery, gives=schemas.Rows, run=desk.ledger_query),
    ]
