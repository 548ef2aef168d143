"""LangChain's chat model of Anthropic: a message, and a streamed one."""

import sys

from langchain_anthropic import ChatAnthropic


def main(model: str, prompt: str) -> None:
    """Print both answers; a temperature of 0 is what LangChain's own examples send."""
    chat = ChatAnthropic(model=model, temperature=0)
    sys.stdout.write(f"{chat.invoke(prompt).text}\n")
    sys.stdout.write("".join(str(part.text) for part in chat.stream(prompt)) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
