"""Measures the memory of processes: the peak of a command, and what a process holds by now."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

# A process begins with the peak of the one that started it: one with next to nothing stands between.
_BETWEEN = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[2:]).returncode
with open(sys.argv[1], "w") as out:
    out.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""
_A_MB = 1024 * 1024 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command ended, what it said, and its peak resident memory in MB."""

    code: int
    out: str
    err: str
    peak_mb: float


def run_to_peak(command: Sequence[str | Path], **where: Any) -> Ran:
    """Run a command to its end; `where` is what subprocess.run takes besides."""
    with TemporaryDirectory() as folder:
        peak = Path(folder, "peak")
        between = [sys.executable, "-S", "-c", _BETWEEN, peak, *command]
        run = subprocess.run(between, check=False, capture_output=True, text=True, **where)
        return Ran(code=run.returncode, out=run.stdout, err=run.stderr, peak_mb=int(peak.read_text()) / _A_MB)


def resident_bytes(process: psutil.Process) -> int:
    """Return the resident memory of a process, 0 if it has ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
