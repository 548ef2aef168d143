"""A demo that is ended in the middle takes everything it started with it."""

import signal
from pathlib import Path

import psutil
import pytest

from tests.support.sites.command_line import end, stranger_in


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_however_it_is_ended_no_process_is_left(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with stranger_in(tmp_path).starts("demo") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("  articles"):
                break
        children = psutil.Process(process.pid).children(recursive=True)
        commands = " ".join(" ".join(child.cmdline()) for child in children)
        for part in ("producer.simulator", "valkey-server", "worker", "flower"):
            assert part in commands
        ended = end(process, number)
        assert process.stderr is not None
        errors = process.stderr.read()
        assert (ended, "Traceback" in errors) == (code, False), errors
    gone, alive = psutil.wait_procs(children, timeout=10)
    assert (len(gone), alive) == (len(children), [])
