"""Signals of ended jobs reach who waits, also after Redis was away; a lost one costs a look."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, closing
from pathlib import Path
from socket import create_server

from models.queue.end_signals import EndSignals, signals
from models.queue.live_events import LiveEvents
from models.queue.redis_keys import ENDS
from tests.support.servers.ports import free_port
from tests.support.servers.valkey import running_valkey


async def _next(listener: AsyncIterator[tuple[str, str] | None]) -> str | None:
    found = await asyncio.wait_for(anext(listener), timeout=20)
    assert found is None or found[0] == ENDS
    return None if found is None else found[1]


def test_each_end_is_signalled_to_everyone_who_listens(redis_url: str) -> None:
    async def received() -> list[list[str | None]]:
        async with aclosing(signals(lambda: redis_url, ENDS)) as one, aclosing(signals(lambda: redis_url, ENDS)) as two:
            for listener in (one, two):
                assert await _next(listener) is None, "from here on signals arrive"
            with closing(EndSignals(redis_url)) as ends:
                for number in range(3):
                    ends.send(f"batch-{number}")
                return [[await _next(listener) for _ in range(3)] for listener in (one, two)]

    assert asyncio.run(received()) == [["batch-0", "batch-1", "batch-2"]] * 2


def test_a_listener_outlives_its_redis_and_hears_that_signals_may_be_lost(tmp_path: Path) -> None:
    port = free_port()
    url = f"redis://tests:secret@127.0.0.1:{port}/0"

    async def received() -> list[str | None]:
        async with aclosing(signals(lambda: url, ENDS)) as batches:
            found = [await _next(batches)]  # no server yet
            for name in ("a", "b"):
                (tmp_path / name).mkdir()
                with running_valkey(tmp_path / name, port=port, password="secret"), closing(EndSignals(url)) as ends:
                    sending = asyncio.create_task(_send_often(ends, name))
                    while (batch_id := await _next(batches)) != name:  # None, or one more of those before
                        found.append(batch_id)
                    found.append(batch_id)
                    sending.cancel()
            return found

    found = asyncio.run(received())
    assert (found[0], found[-1]) == (None, "b")
    assert None in found[found.index("a") :], "who waited over the change is to look for itself"


async def _send_often(ends: EndSignals, batch_id: str) -> None:
    while True:
        ends.send(batch_id)
        await asyncio.sleep(0.2)


def test_without_a_redis_a_signal_is_lost_and_nothing_else() -> None:
    with closing(EndSignals(f"redis://127.0.0.1:{free_port()}/0")) as ends:
        ends.send("nobody hears")
        ends.send("nobody hears this either")


def test_events_for_a_redis_that_never_answers_are_dropped_beyond_a_bound() -> None:
    with create_server(("127.0.0.1", 0)) as silent:
        live = LiveEvents(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        live._servers["job-1"] = {"server-1"}  # noqa: SLF001 - as `listen` learns it
        send = live.begin("job-1", "attempt-1", depth=0)
        assert send is not None
        for _ in range(20_000):
            send({"type": "ping"})
        assert 4_000 < live._group.waiting <= 5_000  # noqa: SLF001
        live.close()
