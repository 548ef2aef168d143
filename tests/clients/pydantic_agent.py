"""An agent of pydantic-ai that may use a tool."""

import sys

from pydantic_ai import Agent


def _salt_per_litre() -> int:
    """Tell the grams of salt in a litre of sea water."""
    return 35


def main(model: str, prompt: str) -> None:
    """Print what the agent says."""
    agent = Agent(f"anthropic:{model}", tools=[_salt_per_litre])
    sys.stdout.write(f"{agent.run_sync(prompt).output}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
