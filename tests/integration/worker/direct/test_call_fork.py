"""A forked child has an office of its own."""

import subprocess
import sys

from producer.simulator.process import running_simulator

_PROGRAM = """
import os, sys
from worker import call_with_fallback
call_with_fallback("first")
child = os.fork()
if child == 0:
    print(call_with_fallback("second")["model_used"], flush=True)
    sys.exit(0)
sys.exit(os.waitpid(child, 0)[1])
"""


def test_a_forked_child_calls_and_ends_as_its_parent_does(sqlite_url: str) -> None:
    with running_simulator() as api:
        variables = {"ANTHROPIC_API_KEY": "x", "ANTHROPIC_BASE_URL": api.url, "DATABASE_URL": sqlite_url}
        ended = subprocess.run(
            [sys.executable, "-c", _PROGRAM], env=variables, capture_output=True, text=True, timeout=60, check=False
        )
        assert (ended.returncode, ended.stdout) == (0, "claude-opus-4-7\n"), ended.stderr
        assert len(api.purchases()) == 2
