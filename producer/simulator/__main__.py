"""`python -m producer.simulator`: serve a script on a port until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import resource
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from producer.simulator.account.purchases import PurchaseLog
from producer.simulator.answer.fields import ScriptError
from producer.simulator.answer.script import Script, parse_script
from producer.simulator.server import Server
from producer.simulator.simulation import Simulation

if TYPE_CHECKING:
    from collections.abc import Sequence

_BACKLOG = 2048
_DRAIN_S = 0.1  # open calls are cut at the end, as they are when a provider goes away
_USAGE = 2
_PORTS = range(65_536)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 0 then, 2 when the script, the log or the address is wrong."""
    arguments = _parser().parse_args(argv)
    try:
        script = _read_script(arguments.script)
        log = PurchaseLog(arguments.log)
    except (ScriptError, OSError) as error:
        sys.stderr.write(f"simulator: {error}\n")
        return _USAGE
    try:
        simulation = Simulation(
            script=script,
            log=log,
            clock=time.monotonic,
            seed=arguments.seed,
            latency_s=arguments.latency_s,
        )
        asyncio.run(_serve(simulation, arguments))
    except OSError as error:
        sys.stderr.write(f"simulator: cannot listen on {arguments.host}:{arguments.port}: {error}\n")
        return _USAGE
    finally:
        log.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="simulator", description="A scripted Anthropic Messages API on loopback. No key, no cost."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=0, help="0 picks a free port (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="fixes texts and latencies (default: %(default)s)")
    parser.add_argument("--script", type=Path, help="TOML script; without it every request is answered well")
    parser.add_argument("--log", type=Path, help="purchase log to append to (JSONL); in memory without it")
    parser.add_argument(
        "--latency-s", type=_seconds, default=0.2, help="median latency; 0 is none (default: %(default)s)"
    )
    parser.add_argument("--ready-file", type=Path, help="file that gets the URL once it can be called")
    return parser


def _port(text: str) -> int:
    port = int(text)
    if port not in _PORTS:
        raise argparse.ArgumentTypeError(f"{text} is not a port; right is 0 to 65535")
    return port


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is wrong; right is seconds, 0 or more")
    return seconds


def _read_script(path: Path | None) -> Script:
    if path is None:
        return parse_script("")
    try:
        return parse_script(path.read_text(encoding="utf-8"), source=str(path))
    except UnicodeDecodeError as error:
        raise ScriptError(f"{path}: not UTF-8: {error}") from None


async def _serve(simulation: Simulation, arguments: argparse.Namespace) -> None:
    _allow_many_connections()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(
        Server(simulation).app(), access_log=None, handler_cancellation=True, shutdown_timeout=_DRAIN_S
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, arguments.host, arguments.port, backlog=_BACKLOG)
        await site.start()
        url = f"http://{arguments.host}:{runner.addresses[0][1]}"
        sys.stdout.write(f"simulator {url} seed {simulation.seed}\n")
        sys.stdout.flush()
        if arguments.ready_file is not None:
            _write_whole(arguments.ready_file, url + "\n")
        await stop.wait()
    finally:
        await runner.cleanup()


def _write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader who polls sees all of the text or no file."""
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def _allow_many_connections() -> None:
    """Raise the soft limit of open files to the hard limit: each connection is an open file."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())
