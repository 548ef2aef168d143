"""`stepdown mcp`: the tools spoken in the Model Context Protocol, over stdio or HTTP."""

import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from reprlib import repr as shown
from typing import Any

import anyio
from mcp import types
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server

from models.errors import InputError, StepdownError, UnpricedModelError
from models.job.progress import Progress
from models.settings import Settings
from producer.client import Producer
from producer.mcp.actions import Desk
from producer.mcp.http import serve
from producer.mcp.schemas import read, schema_of, written
from producer.mcp.tools import Tool, tools_of
from producer.output.terminal import hint

_INSTRUCTIONS = (
    "Prompts are answered by a chain of models that steps down when one fails; every attempt is in a ledger. "
    "ask answers one at once. For many: estimate, submit with a key, wait until is_settled, then results."
)


def run_stdio(settings: Settings) -> None:
    """Serve one client over stdin and stdout until it closes them; nothing else is written to stdout."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the thread that reads stdin cannot be woken: no cleanup would end
        signal.signal(number, signal.SIG_DFL)
    if sys.stdin.isatty():
        hint("stepdown mcp: a client speaks to it on stdin and stdout (producer/mcp/README.md); Ctrl-C ends it")
    with Producer(settings, kind="mcp") as producer:
        anyio.run(_over_stdio, server_of(producer, settings))


def run_http(settings: Settings, *, host: str, port: int) -> None:
    """Serve clients at http://host:port/mcp until a signal; 0 is any free port. Raises InputError, LedgerError."""
    token = None if settings.mcp_token is None else settings.mcp_token.get_secret_value()
    with Producer(settings, kind="mcp") as producer:
        serve(server_of(producer, settings), host=host, port=port, token=token)


def server_of(producer: Producer, settings: Settings) -> Server[Any]:
    """Make a server of the tools over a producer."""
    tools = {tool.name: tool for tool in tools_of(Desk(producer, settings), most_usd=settings.mcp_max_cost_usd)}

    async def listed(_context: ServerRequestContext[Any], _params: object) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_as_listed(tool) for tool in tools.values()])

    async def called(context: ServerRequestContext[Any], params: types.CallToolRequestParams) -> types.CallToolResult:
        return await _called(tools, params, context)

    return Server(
        "stepdown", version=version("stepdown"), instructions=_INSTRUCTIONS, on_list_tools=listed, on_call_tool=called
    )


async def _over_stdio(server: Server[Any]) -> None:
    async with stdio_server() as (received, sent):
        await server.run(received, sent, server.create_initialization_options())


def _as_listed(tool: Tool) -> types.Tool:
    hints = types.ToolAnnotations(
        read_only_hint=tool.is_reading, destructive_hint=False, open_world_hint=not tool.is_reading
    )
    return types.Tool(
        name=tool.name,
        description=tool.about,
        input_schema=schema_of(tool.takes),
        output_schema=schema_of(tool.gives),
        annotations=hints,
    )


async def _called(
    tools: Mapping[str, Tool], params: types.CallToolRequestParams, context: ServerRequestContext[Any]
) -> types.CallToolResult:
    try:
        tool = _named(params.name, tools)
        said = read(tool.takes, params.arguments or {}, tool=tool.name)
        told = await tool.run(said, partial(_report, context))
        return types.CallToolResult(content=_texts(told.words), structured_content=written(told.value))
    except (StepdownError, TimeoutError) as error:
        return types.CallToolResult(content=_texts([_refusal(error)]), is_error=True)
    except Exception as error:  # noqa: BLE001 - whatever it is, the client is told and the server goes on
        hint(f"stepdown mcp: {params.name} met {type(error).__name__}")
        hint("".join(traceback.format_tb(error.__traceback__)))  # without its own text, which may hold a prompt
        defect = f"{params.name}: failed inside Stepdown, which is a defect; the server's stderr tells where"
        return types.CallToolResult(content=_texts([defect]), is_error=True)


def _named(name: str, tools: Mapping[str, Tool]) -> Tool:
    if name not in tools:
        raise InputError(f"{shown(name)} is no tool here; there are {', '.join(tools)}", source="mcp")
    return tools[name]


def _refusal(error: Exception) -> str:
    if isinstance(error, UnpricedModelError):  # whose own text offers to go on without, and then no cap would hold
        return f"no price for {', '.join(error.models)}: the operator sets it by MODEL_COSTS or `stepdown prices set`"
    return str(error)


async def _report(context: ServerRequestContext[Any], progress: Progress) -> None:
    await context.session.report_progress(progress.finished, progress.job_count)


def _texts(words: Sequence[str]) -> list[types.ContentBlock]:
    return [types.TextContent(text=word) for word in words]
