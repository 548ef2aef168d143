"""Speaks to an MCP server with the SDK's own client, in plain calls."""

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp import Client, StdioServerParameters, types
from mcp.client.streamable_http import streamable_http_client
from mcp.server import MCPServer

from tests.support.eventually import eventually
from tests.support.sites.command_line import Stranger

_COMMAND = str(Path(sys.executable).with_name("stepdown"))
_START_S = 60
_REPLY_S = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """A client in the middle of a session; it checks each reply against its tool's schema."""

    portal: BlockingPortal
    client: Client

    def tools(self) -> dict[str, types.Tool]:
        """List the server's tools by name."""
        listed: types.ListToolsResult = self.portal.call(self.client.list_tools)
        return {tool.name: tool for tool in listed.tools}

    def states(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool that is to succeed, and give its structured content."""
        result = self.result(tool, **arguments)
        assert not result.is_error, result.content
        assert result.structured_content is not None
        value: dict[str, Any] = result.structured_content
        return value

    def words(self, tool: str, **arguments: Any) -> str:
        """Call a tool that is to succeed, and give its text."""
        result = self.result(tool, **arguments)
        assert not result.is_error, result.content
        return text_of(result)

    def refused(self, tool: str, **arguments: Any) -> str:
        """Call a tool that is to refuse, and give what it says."""
        result = self.result(tool, **arguments)
        assert result.is_error, result.structured_content
        return text_of(result)

    def result(self, tool: str, **arguments: Any) -> types.CallToolResult:
        """Call a tool."""
        result: types.CallToolResult = self.portal.call(self.client.call_tool, tool, arguments)
        return result


@contextmanager
def speaking(
    server: str | StdioServerParameters | MCPServer[Any], *, token: str | None = None, mode: str = "auto"
) -> Iterator[Speaker]:
    """Hold a session with a server: the address of one that runs, the command of one to start, or one in here."""
    with start_blocking_portal() as portal:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        web = httpx2.AsyncClient(headers=headers, timeout=_REPLY_S)
        where: Any = streamable_http_client(server, http_client=web) if isinstance(server, str) else server
        client = Client(where, read_timeout_seconds=_REPLY_S, mode=mode)
        with portal.wrap_async_context_manager(web), portal.wrap_async_context_manager(client):
            speaker = Speaker(portal=portal, client=client)
            speaker.tools()
            yield speaker


def over_stdio(variables: Mapping[str, str], folder: Path, *command: str) -> StdioServerParameters:
    """Name the command of a server that speaks over stdio: `stepdown mcp`, or another."""
    program, *arguments = command or (_COMMAND, "mcp")
    return StdioServerParameters(command=program, args=arguments, env=dict(variables), cwd=folder)


@contextmanager
def over_http(me: Stranger, *options: str) -> Iterator[str]:
    """Run `stepdown mcp --http` for a block; yields its address."""
    log = me.folder / "mcp.log"
    with me.starts("mcp", "--http", "--port", "0", *options, log=log.name) as process:
        found = eventually(
            lambda: process.poll() is not None or re.search(r"http://\S+/mcp", log.read_text(encoding="utf-8")),
            within_s=_START_S,
            because="it says where it listens",
        )
        assert isinstance(found, re.Match), log.read_text(encoding="utf-8")
        yield found[0]


def text_of(result: types.CallToolResult) -> str:
    """Return the text of a result, a line or more for each of its blocks."""
    return "\n".join(block.text for block in result.content if isinstance(block, types.TextContent))
