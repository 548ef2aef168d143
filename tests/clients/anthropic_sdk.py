"""The provider's own SDK for Python, of any version: a message, and a streamed one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import anthropic

if TYPE_CHECKING:
    from anthropic.types import MessageParam


def main(model: str, prompt: str) -> None:
    """Print both answers; before 2.0 people send a temperature, which the SDK still takes."""
    client = anthropic.Anthropic()
    messages: list[MessageParam] = [{"role": "user", "content": prompt}]
    older = {"temperature": 0.7} if int(anthropic.__version__.split(".")[0]) < 2 else {}
    answer = client.messages.create(model=model, max_tokens=200, messages=messages, extra_body=older)
    sys.stdout.write("".join(block.text for block in answer.content if block.type == "text") + "\n")
    with client.messages.stream(model=model, max_tokens=200, messages=messages, extra_body=older) as stream:
        sys.stdout.write("".join(stream.text_stream) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
