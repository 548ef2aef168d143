"""`stepdown mcp`: the tools over the Model Context Protocol, by stdio or HTTP."""

import signal
import sys
import traceback
from collections.abc import Mapping
from importlib.metadata import version
from reprlib import repr as shown
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, InputRequiredResult, TextContent
from pydantic import ValidationError

from models.errors import InputError, StepdownError, UnpricedModelError
from models.settings import Settings
from producer.client import Producer
from producer.mcp.actions import ASK_S, Actions
from producer.mcp.http import serve
from producer.mcp.tool_descriptions import tools_of
from producer.output.terminal import hint

_INSTRUCTIONS = (
    "Prompts are answered by a chain of models that steps down when one fails; every attempt is in a ledger. "
    "ask answers one at once. For many: estimate, submit with a key, wait until is_settled, then results."
)
_VALUE_ERROR = "Value error, "  # as pydantic begins the text of a ValueError


class Server(MCPServer[Any]):
    """The SDK's server, with refusals in the project's own sentences."""

    def __init__(self, tools: list[Tool]) -> None:
        super().__init__(
            "stepdown",
            version=version("stepdown"),
            instructions=_INSTRUCTIONS,
            tools=tools,
            log_level="WARNING",
            subscriptions=False,
        )
        self._arguments: Mapping[str, Mapping[str, Any]] = {tool.name: tool.parameters["properties"] for tool in tools}

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool. A refusal and a defect are results, too: the client reads them, and the server goes on."""
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            return CallToolResult(content=[TextContent(text=self._refusal(name, error.__cause__))], is_error=True)

    def _refusal(self, name: str, cause: BaseException | None) -> str:
        if name not in self._arguments:
            return str(
                InputError(f"{shown(name)} is no tool here; there are {', '.join(self._arguments)}", source="mcp")
            )
        match cause:
            case ValidationError() if cause.title == f"{name}Arguments":
                return str(InputError(_mistakes(cause, self._arguments[name]), source=name))
            case UnpricedModelError():  # whose own text offers to go on without, and then no cap would hold
                models = ", ".join(cause.models)
                return f"no price for {models}: the operator sets it by MODEL_COSTS or `stepdown prices set`"
            case StepdownError() | TimeoutError():
                return str(cause)
        hint(f"stepdown mcp: {name} met {type(cause).__name__}")
        if cause is not None:
            hint("".join(traceback.format_tb(cause.__traceback__)))  # without the error's text, which may hold a prompt
        return f"{name}: failed inside Stepdown, which is a defect; the server's stderr tells where"


def run_stdio(settings: Settings) -> None:
    """Serve a client over stdin and stdout until the client closes them; stdout has nothing else."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the thread that reads stdin cannot be woken: no cleanup would end
        signal.signal(number, signal.SIG_DFL)
    if sys.stdin.isatty():
        hint("stepdown mcp: a client speaks to it on stdin and stdout (producer/mcp/README.md); Ctrl-C ends it")
    with Producer(settings, kind="mcp") as producer:
        server_of(producer, settings).run()


def run_http(settings: Settings, *, host: str, port: int) -> None:
    """Serve clients at http://host:port/mcp until a signal; 0 is any free port. Raises InputError, LedgerError."""
    token = None if settings.mcp_token is None else settings.mcp_token.get_secret_value()
    with Producer(settings, kind="mcp") as producer:
        serve(server_of(producer, settings), host=host, port=port, token=token)


def server_of(producer: Producer, settings: Settings, *, ask_s: float = ASK_S) -> Server:
    """Return a server of the tools over a producer; after `ask_s` seconds `ask` returns an answer that is not final."""
    return Server(tools_of(Actions(producer, settings, ask_s=ask_s), most_usd=settings.mcp_max_cost_usd))


def _mistakes(error: ValidationError, arguments: Mapping[str, Any]) -> str:
    """Name each wrong argument once, with the right value."""
    details = {detail["loc"][:2]: detail for detail in error.errors(include_url=False)}
    return "; ".join(f"{_place(detail['loc'])}: {_problem(detail, arguments)}" for detail in details.values())


def _place(loc: tuple[int | str, ...]) -> str:
    """Name an argument, or a field of a prompt. The third part of the place is the kind of prompt."""
    prompt = "".join(f"[{index}]" for index in loc[1:2])
    return ".".join([f"{loc[0]}{prompt}", *map(str, loc[3:])])


def _problem(detail: Any, arguments: Mapping[str, Any]) -> str:
    field = str(detail["loc"][0])
    if field not in arguments:
        return f"is no argument here; there are {', '.join(arguments)}"
    right = arguments[field].get("description", "")
    match detail["type"]:
        case "missing" if len(detail["loc"]) == 1:
            return f"missing; give {right}"
        case "value_error":
            return str(detail["msg"]).removeprefix(_VALUE_ERROR)
    return f"{shown(detail['input'])}: {str(detail['msg'])[:1].lower()}{detail['msg'][1:]}; right is {right}"
