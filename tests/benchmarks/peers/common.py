"""What all peers share: prompts in, one JSON line a prompt out. It imports nothing but the standard library.

A peer is run as `python -m tests.benchmarks.peers.NAME PROMPTS CHAIN THREADS FOR_S`. It says `ready`, waits for a line,
and takes no new prompt after FOR_S seconds.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

Prompt = dict[str, Any]
Answer = dict[str, str | None]


def chain() -> list[str]:
    """Read the chain that was asked for, the first model first."""
    return sys.argv[2].split(",")


def most_at_once() -> int:
    """Read how many calls may be in the air."""
    return int(sys.argv[3])


def with_threads(ask: Callable[[Prompt], Answer]) -> None:
    """Answer everything with a pool of threads."""
    prompts, lock = _begun(), Lock()

    def work() -> None:
        while True:
            with lock:
                prompt = next(prompts, None)
            if prompt is None:
                return
            try:
                answer = ask(prompt)
            except Exception as error:  # noqa: BLE001 - whatever a peer raises is a job that failed
                _tell(prompt, is_ok=False, error=type(error).__name__)
            else:
                _tell(prompt, is_ok=True, **answer)

    with ThreadPoolExecutor(most_at_once()) as pool:
        for _ in range(most_at_once()):
            pool.submit(work)


async def with_tasks(ask: Callable[[Prompt], Awaitable[Answer]]) -> None:
    """Answer everything with tasks on one event loop."""
    prompts = _begun()

    async def work() -> None:
        for prompt in prompts:
            try:
                answer = await ask(prompt)
            except Exception as error:  # noqa: BLE001 - whatever a peer raises is a job that failed
                _tell(prompt, is_ok=False, error=type(error).__name__)
            else:
                _tell(prompt, is_ok=True, **answer)

    await asyncio.gather(*(work() for _ in range(most_at_once())))


def _begun() -> Iterator[Prompt]:
    prompts = [json.loads(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    return _while_there_is_time(prompts, time.monotonic() + float(sys.argv[4]))


def _while_there_is_time(prompts: list[Prompt], until_s: float) -> Iterator[Prompt]:
    for prompt in prompts:
        if time.monotonic() > until_s:
            return
        yield prompt


def _tell(prompt: Prompt, **end: object) -> None:
    sys.stdout.write(json.dumps({"id": prompt["id"], **end}) + "\n")
    sys.stdout.flush()
