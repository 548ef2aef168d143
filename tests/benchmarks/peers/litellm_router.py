"""LiteLLM's Router: three deployments, fallbacks between them, its own retries and cooldowns, as its docs show it."""

import asyncio
import os

from litellm import Router

from tests.benchmarks.peers.common import Answer, Prompt, chain, with_tasks


async def main() -> None:
    """Answer all prompts with tasks on one loop. A cooldown of 5 s is the probe interval that we have."""
    models = chain()
    router = Router(
        model_list=[
            {
                "model_name": model,
                "litellm_params": {
                    "model": f"anthropic/{model.removeprefix('cloud/')}",
                    "api_key": os.environ["ANTHROPIC_API_KEY"],
                    "api_base": os.environ["CLOUD_URL" if model.startswith("cloud/") else "ANTHROPIC_BASE_URL"],
                },
            }
            for model in models
        ],
        fallbacks=[{models[0]: models[1:]}],
        cooldown_time=5,
    )

    async def ask(prompt: Prompt) -> Answer:
        reply = await router.acompletion(
            model=models[0],
            max_tokens=prompt["max_tokens"],
            messages=[{"role": "user", "content": prompt["text"]}],
        )
        choice = reply.choices[0]
        return {"model": reply.model, "text": choice.message.content, "stop_reason": choice.finish_reason}

    await with_tasks(ask)


if __name__ == "__main__":
    asyncio.run(main())
