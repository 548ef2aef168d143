"""pydantic-ai's FallbackModel over the three models, as its documentation shows it."""

import asyncio

from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.fallback import FallbackModel

from tests.benchmarks.peers.common import Answer, Prompt, chain, with_tasks


async def main() -> None:
    """Answer all prompts with tasks on one loop."""
    first, *others = (AnthropicModel(model) for model in chain())
    agent = Agent(FallbackModel(first, *others))

    async def ask(prompt: Prompt) -> Answer:
        result = await agent.run(prompt["text"], model_settings={"max_tokens": prompt["max_tokens"]})
        return {
            "model": result.response.model_name,
            "text": result.output,
            "stop_reason": result.response.finish_reason,
        }

    await with_tasks(ask)


if __name__ == "__main__":
    asyncio.run(main())
