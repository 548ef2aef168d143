"""A bare call: AsyncAnthropic over aiohttp, the leanest way there is, with max_retries=0 and no queue or ledger.

Run as `python -m tests.benchmarks.bare_call URL CALLS CONCURRENCY`; prints CPU seconds, peak RSS in MB, wall seconds.
"""

import asyncio
import os
import sys
import time

import httpx2
from anthropic import AsyncAnthropic, DefaultAioHttpClient

from tests.benchmarks.measured import cpu_s, peak_rss_mb

PROMPT = "Summarize: " + "The quick brown fox jumps over the lazy dog, and then it rests for a while. " * 10


async def _calls(url: str, calls: int, concurrency: int) -> None:
    limits = httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    client = AsyncAnthropic(
        api_key="bench", base_url=url, max_retries=0, http_client=DefaultAioHttpClient(limits=limits, timeout=120)
    )
    left = iter(range(calls))

    async def caller() -> None:
        for number in left:
            await client.messages.create(
                model="claude-opus-4-7", max_tokens=200, messages=[{"role": "user", "content": f"{PROMPT} {number}"}]
            )

    await asyncio.gather(*(caller() for _ in range(concurrency)))
    await client.close()


def main() -> None:
    """Call, and print what it took."""
    url, calls, concurrency = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    before, started = cpu_s(os.getpid()), time.monotonic()
    asyncio.run(_calls(url, calls, concurrency))
    sys.stdout.write(f"{cpu_s(os.getpid()) - before} {peak_rss_mb(os.getpid())} {time.monotonic() - started}\n")


if __name__ == "__main__":
    main()
