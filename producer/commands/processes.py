"""The commands that run a process until it ends: worker, flower, serve, mcp, simulate, demo; and doctor."""

from typing import Annotated

import typer

from models import errors
from models.errors import InputError
from producer.commands.options import LinesOption
from producer.commands.options import settings as read_settings
from producer.output.terminal import next_step, print_lines, print_whole

# Nothing heavy is imported at the top: --help and shell completion answer in a fraction of a second.
# ruff: noqa: PLC0415


def worker(context: typer.Context) -> None:
    """Run a worker (and, with no REDIS_URL, its broker); further options are Celery's."""
    from producer.running import start

    raise typer.Exit(start.worker(read_settings(), context.args))


def flower(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5555,
    address: Annotated[
        str, typer.Option(help="where to listen; leave it on loopback outside a container")
    ] = "127.0.0.1",
) -> None:
    """Run Flower on 127.0.0.1, behind a password."""
    from producer.running import start

    start.flower(read_settings(), address=address, port=port)


def simulate(context: typer.Context) -> None:
    """Run the simulated API; `stepdown simulate --help` lists its options."""
    from producer.running import start

    start.simulate(context.args)


def serve(
    host: Annotated[str, typer.Option(help="where to listen; beyond loopback only with CALLERS_FILE")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free")] = 8700,
) -> None:
    """Serve the Anthropic Messages and Message Batches APIs, and our own, over this chain."""
    from producer.web import serve as serving

    serving.run(read_settings(), host=host, port=port)


def demo(
    jobs: Annotated[int, typer.Option(min=1, max=200, help="how many of the 200 articles")] = 200,
    stay: Annotated[bool, typer.Option("--stay/--exit", help="keep Flower up until Ctrl-C")] = False,
    half_price: Annotated[bool, typer.Option("--half-price", help="buy two of three in message batches")] = False,
    endpoints: Annotated[bool, typer.Option("--endpoints", help="go on elsewhere while a provider is down")] = False,
) -> None:
    """Run a batch through real parts against a simulated API, with an outage in the middle."""
    from producer.running import demo as demonstrating

    if half_price and endpoints:
        raise InputError("--half-price, --endpoints: choose one", source="stepdown demo")
    shown = demonstrating.ELSEWHERE if endpoints else demonstrating.CHAIN
    play = demonstrating.AT_HALF_PRICE if half_price else shown
    raise typer.Exit(demonstrating.run(play, jobs=jobs, stay=stay))


def mcp(
    http: Annotated[bool, typer.Option("--http", help="over HTTP, instead of stdin and stdout")] = False,
    host: Annotated[str, typer.Option(help="where to listen; off loopback only with MCP_TOKEN")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any free one")] = 8702,
) -> None:
    """Serve ask, estimate, submit, status, wait, results and ledger_query to MCP clients."""
    from importlib.util import find_spec

    if find_spec("mcp") is None:
        raise InputError("MCP is not installed: pip install 'stepdown[mcp]'", source="stepdown mcp")
    from producer.mcp import server

    if http:
        server.run_http(read_settings(), host=host, port=port)
    else:
        server.run_stdio(read_settings())


def doctor(
    worker: Annotated[bool, typer.Option("--worker", help="only whether a worker of this machine claims jobs")] = False,
    ask: Annotated[bool, typer.Option("--ask", help="also send one smallest message through each endpoint")] = False,
    as_lines: LinesOption = False,
) -> None:
    """Check key, prices, ledger, disk, broker, workers, throttles and API; each finding says what would be right."""
    import json
    from collections import Counter
    from dataclasses import asdict
    from itertools import chain

    from producer.output.table import table
    from producer.running.ask_endpoints import ask_endpoints

    if worker:
        from producer.running.claims import examine_worker as examine
    else:
        from producer.running.doctor import examine

    given, verdicts = read_settings(), []
    for finding in chain(examine(given), ask_endpoints(given) if ask else ()):
        verdicts.append(finding)
        if as_lines:
            print_whole(json.dumps(asdict(finding)))
    if not as_lines:
        rows = [[finding.verdict, finding.what, finding.message] for finding in verdicts]
        print_lines(table(("state", "part", "finding"), rows, folds={2}))
        counts = Counter(finding.verdict for finding in verdicts)
        next_step(f"{counts['fail']} of {len(rows)} findings stop jobs (fail), {counts['warn']} may (warn)")
    failed = {finding.what for finding in verdicts if finding.verdict == "fail"}
    if failed:
        raise typer.Exit(errors.UNREACHABLE if failed & {"broker", "ledger", "worker"} else errors.USAGE)
