"""A signal ends a command also where Python drops the exit it raises."""

import subprocess
import sys

import pytest

_SCRIPT = """
import signal, sys, time, weakref
from producer.running.signals import resend_dropped_signals

class Thing:
    def __del__(self):
        {in_finalizer}

signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
resend_dropped_signals()
thing = Thing()
watched = weakref.ref(thing, lambda _gone: {in_callback})
try:
    del thing
    print("dropped", flush=True)
    time.sleep(30)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize("where", ["in_finalizer", "in_callback"])
def test_an_exit_that_is_dropped_is_said_again(number: str, code: int, where: str) -> None:
    places = {"in_finalizer": "pass", "in_callback": "None"} | {where: f"signal.raise_signal(signal.{number})"}
    ended = subprocess.run(
        [sys.executable, "-c", _SCRIPT.format(**places)], capture_output=True, text=True, check=False, timeout=20
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "dropped\n", "")


def test_an_exit_that_comes_again_too_soon_is_said_once_more() -> None:
    places = {"in_finalizer": "signal.raise_signal(signal.SIGTERM)", "in_callback": "None"}
    script = _SCRIPT.format(**places).replace(
        "resend_dropped_signals()\nthing", "producer.running.signals._AGAIN_S = 1e-6\nresend_dropped_signals()\nthing"
    )
    ended = subprocess.run(
        [sys.executable, "-c", f"import producer.running.signals\n{script}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert (ended.returncode, ended.stderr) == (143, "")


@pytest.mark.parametrize("what", ["sys.exit(3)", "print(1 / 0)"])
def test_any_other_mistake_in_a_finalizer_is_told_as_ever(what: str) -> None:
    script = _SCRIPT.format(in_finalizer=what, in_callback="None").replace("sleep(30)", "sleep(0)")
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=20)
    assert (ended.returncode, ended.stdout) == (0, "dropped\n")
    assert "Exception ignored in" in ended.stderr
