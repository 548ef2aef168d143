"""A script that asks without a queue: an order a line on stdin, as JSON, and what came of it a line on stdout."""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from anthropic import NOT_GIVEN, omit
from anthropic.types import Message, TextBlock

from models.errors import StepdownError
from worker import ChainClient, call_with_fallback

Reported = dict[str, Any]


def _call(**options: Any) -> Reported:
    result = call_with_fallback(**options)
    return {**result, "estimated_cost_usd": str(result["estimated_cost_usd"])}


def _calls(*, each: list[Reported], threads: int) -> Reported:
    """Call at once, with so many threads; what went wrong is told in its place."""
    with ThreadPoolExecutor(threads) as pool:
        return {"all": list(pool.map(lambda options: _reported(_call, **options), each))}


def _create(*, client: Reported, below: str | None = None, **request: Any) -> Reported:
    """Ask as a framework does, whose tools and messages are plain; `below` asks with the client of a sub-agent."""
    whole = ChainClient(**client)
    asked = whole if below is None else whole.child(below)
    message = asked.messages.create(**request)
    return {
        "is_message": isinstance(message, Message),
        "message": message.model_dump(mode="json"),
        "job_id": message.job_id,
        "fallback_depth": message.fallback_depth,
        "cost_usd": str(message.cost_usd),
    }


def _raw(*, client: Reported, **request: Any) -> Reported:
    """Ask as a framework does that looks at headers, such as LangChain."""
    raw = ChainClient(**client).messages.with_raw_response.create(**request)
    return {"headers": dict(raw.headers), "text": _text(raw.parse()), "job_id": raw.parse().job_id}


def _agents(*, client: Reported, model: str, threads: int, words: list[str]) -> Reported:
    """Let one client be used by many threads, each of which hands a deeper one to a sub-agent of its own."""
    shared = ChainClient(**client)

    def work(word: str) -> Reported:
        asked: Any = {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": word}]}
        first = shared.messages.create(**asked)
        second = shared.child(first, task="summarize").messages.create(**asked)
        return {"word": word, "jobs": [first.job_id, second.job_id], "texts": [_text(first), _text(second)]}

    with ThreadPoolExecutor(threads) as pool:
        return {"all": list(pool.map(lambda word: _reported(work, word=word), words))}


def _loop(*, client: Reported, tools: list[Reported], content: str) -> Reported:
    """Go round as an agent does: the answer's own blocks are sent back, with what the tool said."""
    asks = ChainClient(**client).messages
    messages: list[Any] = [{"role": "user", "content": content}]
    asked: Any = {"model": "claude-opus-4-7", "max_tokens": 200, "tools": tools, "system": "You look things up."}
    asked |= {"tool_choice": NOT_GIVEN, "temperature": omit, "timeout": 5, "extra_headers": None}
    asked |= {"extra_body": {"metadata": {"user_id": "somebody"}}}
    first = asks.create(messages=messages, **asked)
    (use,) = [block for block in first.content if block.type == "tool_use"]
    found = {"type": "tool_result", "tool_use_id": use.id, "content": f"{use.name} found {use.input}"}
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [found]}]
    second = asks.create(messages=messages, **asked)
    return {"first": first.model_dump(mode="json"), "second": _text(second), "jobs": [first.job_id, second.job_id]}


def _text(message: Message) -> str:
    return "".join(block.text for block in message.content if isinstance(block, TextBlock))


def _reported(work: Callable[..., Reported], **given: Any) -> Reported:
    try:
        return work(**given)
    except StepdownError as error:
        return {"error": type(error).__name__, "message": str(error)}


_ORDERS: dict[str, Callable[..., Reported]] = {
    "call": _call,
    "calls": _calls,
    "create": _create,
    "raw": _raw,
    "agents": _agents,
    "loop": _loop,
}


def main() -> None:
    """Do each order, until there are no more."""
    for line in sys.stdin:
        order = json.loads(line)
        reported = _reported(_ORDERS[order.pop("do", "call")], **order)
        print(json.dumps(reported), flush=True)  # noqa: T201 - a pipe


if __name__ == "__main__":
    main()
