"""`stepdown serve` beside the API itself: the time that the chain, the queue and the ledger add to a call."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

import aiohttp

from producer.simulator.process import RunningSimulator, running_simulator
from tests.benchmarks.figure import Figure
from tests.support.servers.valkey import running_valkey
from tests.support.sites.worker_site import environment_of, running_server, running_worker

_SCRIPT = "[[rules]]\nanswer = 'slow'\ndelay_s = {delay_s}"  # every answer takes as long
_ALONE_S, _TOGETHER_S = 0.1, 0.5
_AT_ONCE = 50
_WARM_UP = 30
_MOST_P50_MS, _MOST_P99_MS, _LEAST_SHARE = 15.0, 40.0, 0.8
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
    return [
        Figure(name="serve, one at a time: added p50, ms", value=ours[0] - own[0], target=_MOST_P50_MS),
        Figure(name="serve, one at a time: added p99, ms", value=ours[1] - own[1], target=_MOST_P99_MS),
        Figure(
            name=f"serve, {_AT_ONCE} at once: requests a second / the simulator's own",
            value=rates[1] / rates[0],
            target=_LEAST_SHARE,
            is_least=True,
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

    headers = {"content-type": "application/json", "x-api-key": "bench", "anthropic-version": "2023-06-01"}
    async with aiohttp.ClientSession(headers=headers) as session:
        await asyncio.gather(*(caller(session) for _ in range(at_once)))
    return taken


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
