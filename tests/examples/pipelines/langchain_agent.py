"""LangChain: an agent with a tool that is an agent, one deeper in its tree: `python langchain_agent.py QUESTION`.

Every call of both goes through the chain and into the ledger; MAX_DEPTH and TREE_CAP_USD hold for all of it.
"""

import sys
from uuid import uuid4

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage

from worker import ChainClient

LOOK_UP = {"name": "look_up", "description": "Looks a harbour up.", "input_schema": {"type": "object"}}


def chained(client: ChainClient) -> ChatAnthropic:
    """Give LangChain's model our client in the place of the SDK's."""
    chat = ChatAnthropic(model="claude-opus-4-7", max_tokens=200, max_retries=0, api_key="not used")
    chat.__dict__["_client"] = client
    return chat


def main() -> None:
    """Ask, and let a sub-agent answer each use of the tool."""
    client = ChainClient(task="plan", parent=str(uuid4()))
    agent = chained(client).bind_tools([LOOK_UP])
    messages: list[BaseMessage] = [HumanMessage(" ".join(sys.argv[1:]))]
    while (message := agent.invoke(messages)).tool_calls:
        messages.append(message)
        for use in message.tool_calls:
            below = chained(client.child(message.response_metadata["job_id"], task="search"))
            messages.append(ToolMessage(below.invoke(f"Look up: {use['args']}").text, tool_call_id=use["id"]))
    print(message.text)


if __name__ == "__main__":
    main()
