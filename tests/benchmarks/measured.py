"""CPU and memory of one process while it works."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What `jobs` jobs took: CPU milliseconds a job (user and system), the process's peak RSS, wall seconds."""

    jobs: int
    cpu_ms_per_job: float
    peak_rss_mb: float
    wall_s: float


def cpu_s(pid: int) -> float:
    """Read the CPU seconds a process has used so far, user and system."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def peak_rss_mb(pid: int) -> float:
    """Read the most memory a process has held, in MB. Linux only."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    message = f"process {pid} tells no peak"
    raise ValueError(message)


def measured(pid: int, jobs: int, work: Callable[[], float]) -> Measured:
    """Measure a process while `work` has it do so many jobs; `work` returns the wall seconds they took."""
    before = cpu_s(pid)
    wall_s = work()
    return Measured(
        jobs=jobs, cpu_ms_per_job=(cpu_s(pid) - before) / jobs * 1000, peak_rss_mb=peak_rss_mb(pid), wall_s=wall_s
    )
