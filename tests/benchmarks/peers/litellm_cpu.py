"""LiteLLM's Router alone: CPU of its calls, without queue or ledger. It imports the standard library and LiteLLM.

Run as `python -m tests.benchmarks.peers.litellm_cpu URL CALLS CONCURRENCY`; prints CPU seconds.
"""

import asyncio
import sys
import time

from litellm import Router

_MODEL = "claude-opus-4-7"
_TEXT = "Summarize: " + "The quick brown fox jumps over the lazy dog, and then it rests for a while. " * 10


async def _calls(url: str, calls: int, concurrency: int) -> float:
    options = {"model": f"anthropic/{_MODEL}", "api_key": "bench", "api_base": url}
    router = Router(model_list=[{"model_name": _MODEL, "litellm_params": options}])
    left = iter(range(calls))

    async def caller() -> None:
        for number in left:
            prompt = [{"role": "user", "content": f"{_TEXT} {number}"}]
            await router.acompletion(model=_MODEL, max_tokens=200, messages=prompt)

    before = time.process_time()
    await asyncio.gather(*(caller() for _ in range(concurrency)))
    return time.process_time() - before


if __name__ == "__main__":
    sys.stdout.write(f"{asyncio.run(_calls(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))}\n")
