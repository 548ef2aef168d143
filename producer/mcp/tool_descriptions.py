"""The tools of `stepdown mcp` as the SDK serves them: each with its description and a strict reading of arguments."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import FuncMetadata
from mcp.types import ToolAnnotations

from producer.mcp.actions import ASK_S, MOST_ROWS, QUERY_S, Actions


class _StrictArguments(FuncMetadata):
    """A check that the SDK lacks: the SDK ignores an unknown argument, and reads the text "null" as None."""

    def validate_arguments(self, arguments_to_validate: dict[str, Any]) -> dict[str, Any]:
        """Read arguments as the client typed them. Raises ValidationError, also for an unknown argument."""
        return self.arg_model.model_validate(arguments_to_validate, extra="forbid").model_dump_one_level()


def tools_of(actions: Actions, *, most_usd: Decimal) -> list[Tool]:
    """List the tools; the descriptions of tools that spend name `most_usd`, the most that one call may spend."""
    cap = f"max_cost_usd is required, at most {most_usd:f} for one call (MCP_MAX_COST_USD), and never passed."
    ask = (
        "Have one prompt answered by a chain of models, ahead of all bulk, and wait for the answer. "
        f"{cap} What takes longer than {ASK_S:g} s goes on: wait for its batch, then read its results."
    )
    submit = (
        f"Queue prompts as one batch; returns its id at once, for wait and results. {cap} "
        "With a key the same prompts are bought once, however often they are submitted."
    )
    query = (
        "Run one SQL query against the ledger of what everything cost. "
        f"It reads only, ends after {QUERY_S:g} s and gives at most {MOST_ROWS} rows. "
        "The views v_cost_daily, v_jobs, v_attempts and others are made to be asked."
    )
    wait = "Wait until a batch has ended, or up_to_s seconds, and say where it is; call again until is_settled."
    return [
        _tool(actions.ask, ask, is_reading=False),
        _tool(actions.submit, submit, is_reading=False),
        _tool(actions.estimate, "Say what prompts would cost; nothing is spent."),
        _tool(actions.status, "Say where a batch is, and what it cost so far."),
        _tool(actions.wait, wait),
        _tool(actions.results, "Read answers of a batch, in the order they were submitted."),
        _tool(actions.ledger_query, query),
    ]


def _tool(action: Callable[..., Any], about: str, *, is_reading: bool = True) -> Tool:
    hints = ToolAnnotations(read_only_hint=is_reading, destructive_hint=False, open_world_hint=not is_reading)
    tool = Tool.from_function(action, description=about, annotations=hints)
    tool.fn_metadata = _StrictArguments(**dict(tool.fn_metadata))
    tool.parameters["additionalProperties"] = False
    return tool
