"""An MCP server of your own, whose tool has its prompt answered by the chain and kept in the ledger.

Settings come from the environment, as for `stepdown`; a client starts it with `python mcp_tool.py`.
"""

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from producer import Producer

server = MCPServer("reviews", log_level="WARNING")


@server.tool()
def verdict(review: str) -> str:
    """Say in one word whether a review is good or bad."""
    with Producer.from_env() as producer:
        answer = producer.ask(
            f"Say in one word whether this review is good or bad: {review}",
            task="summarize",
            max_cost_usd="0.05",
            tags={"tool": "verdict"},
            timeout_s=50,
        )
    if answer.text is None:
        message = f"no answer: {answer.error}"
        raise ToolError(message)
    return answer.text


if __name__ == "__main__":
    server.run()
