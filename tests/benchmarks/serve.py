"""`stepdown serve` beside the API itself: the time that the chain, the queue and the ledger add to a call."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

import aiohttp

from producer.simulator.process import RunningSimulator, running_simulator
from tests.benchmarks.figure import Figure
from tests.support.servers.valkey import running_valkey
from tests.support.sites.worker_site import environment_of, running_server, running_worker

_SCRIPT = "[[rules]]\nanswer = 'slow'\ndelay_s = {delay_s}"  # every answer takes as long
_ALONE_S, _TOGETHER_S = 0.1, 0.5
_STREAMED_S = 1.0  # of a whole answer, some of it after the first delta
_AT_ONCE = 50
_WARM_UP = 30
_MOST_P50_MS, _MOST_P99_MS, _LEAST_SHARE, _MOST_APART_MS = 15.0, 40.0, 0.8, 30.0
_HEADERS = {"content-type": "application/json", "x-api-key": "bench", "anthropic-version": "2023-06-01"}
_BODY = {"model": "claude-opus-4-7", "max_tokens": 100, "messages": [{"role": "user", "content": "Be brief."}]}


def served(share: float) -> list[Figure]:
    """Measure one call at a time, and 50 at once: against the server, and against the simulator directly."""
    with _served() as (api, server):
        asyncio.run(_seconds(server, _WARM_UP, at_once=_WARM_UP))
        direct, through = (asyncio.run(_seconds(url, int(100 * share) + 20)) for url in (api.url, server))
        own, ours = ([1000 * each for each in _percentiles(one)] for one in (direct, through))
        api.set_script(_SCRIPT.format(delay_s=_TOGETHER_S))
        asyncio.run(_wall_s(server, 4 * _AT_ONCE))  # slow start is over
        rates = [
            calls / asyncio.run(_wall_s(url, calls))
            for url, calls in ((api.url, int(1500 * share)), (server, int(1500 * share)))
        ]
        api.set_script(_SCRIPT.format(delay_s=_STREAMED_S))
        asyncio.run(_first_deltas(server, 3))
        before = len(api.purchases())
        first = [asyncio.run(_first_deltas(url, int(20 * share) + 5)) for url in (api.url, server)]
        purchased = [datetime.fromisoformat(bought["at"]).timestamp() for bought in api.purchases()[before:]]
        # The simulator writes the time of a request, and sends its first delta as much later to anybody.
        since = [1000 * (at - bought_at) for at, bought_at in zip([*first[0], *first[1]], purchased, strict=True)]
        own_ms, ours_ms = median(since[: len(first[0])]), median(since[len(first[0]) :])
    return [
        Figure(name="serve, one at a time: added p50, ms", value=ours[0] - own[0], target=_MOST_P50_MS),
        Figure(name="serve, one at a time: added p99, ms", value=ours[1] - own[1], target=_MOST_P99_MS),
        Figure(
            name=f"serve, {_AT_ONCE} at once: requests a second / the simulator's own",
            value=rates[1] / rates[0],
            target=_LEAST_SHARE,
            is_least=True,
        ),
        Figure(
            name="serve: first delta of a stream after the provider's, ms (median)",
            value=ours_ms - own_ms,
            target=_MOST_APART_MS,
        ),
    ]


def _percentiles(seconds: list[float]) -> tuple[float, float]:
    cuts = quantiles(seconds, n=100)
    return cuts[49], cuts[98]


async def _wall_s(url: str, calls: int) -> float:
    started = time.monotonic()
    await _seconds(url, calls, at_once=_AT_ONCE)
    return time.monotonic() - started


async def _seconds(url: str, calls: int, *, at_once: int = 1) -> list[float]:
    left, taken = iter(range(calls)), list[float]()

    async def caller(session: aiohttp.ClientSession) -> None:
        for number in left:
            started = time.monotonic()
            body = json.dumps({**_BODY, "metadata": {"user_id": str(number)}})
            async with session.post(f"{url}/v1/messages", data=body) as response:
                await response.read()
                response.raise_for_status()
            taken.append(time.monotonic() - started)

    async with aiohttp.ClientSession(headers=_HEADERS) as session:
        await asyncio.gather(*(caller(session) for _ in range(at_once)))
    return taken


async def _first_deltas(url: str, calls: int) -> list[float]:
    """Return the time of the first delta of each stream, one after the other."""
    times = []
    async with aiohttp.ClientSession(headers=_HEADERS) as session:
        for number in range(calls):
            body = {**_BODY, "stream": True, "metadata": {"user_id": str(number)}}
            async with session.post(f"{url}/v1/messages", data=json.dumps(body)) as response:
                async for line in response.content:
                    if line == b"event: content_block_delta\n":
                        break
                times.append(time.time())
                await response.read()
    return times


@contextmanager
def _served() -> Iterator[tuple[RunningSimulator, str]]:
    with (
        TemporaryDirectory() as name,
        running_simulator(script=_SCRIPT.format(delay_s=_ALONE_S)) as api,
        ExitStack() as until_end,
    ):
        folder = Path(name)
        environment = environment_of(
            {
                "REDIS_URL": until_end.enter_context(running_valkey(folder)),
                "DATABASE_URL": f"sqlite:///{folder}/ledger.db",
                "ANTHROPIC_BASE_URL": api.url,
                "STATE_DIR": str(folder),
                **dict.fromkeys(("CLOCK_TICK_S", "WORKER_CONCURRENCY", "PATIENCE_S"), ""),  # the defaults
            }
        )
        until_end.enter_context(running_worker(environment, folder / "worker.log"))
        yield api, until_end.enter_context(running_server(environment, folder / "serve.log"))
