"""Ends a command that was asked to end, wherever in the code the signal met it."""

import os
import signal
import sys
from threading import Timer

_AGAIN_S = 0.02


def hear_all() -> None:
    """Say again what Python drops: an exit that a signal raises while a finalizer or a weakref's callback runs."""
    sys.unraisablehook = _hear


def _hear(dropped: "sys.UnraisableHookArgs") -> None:
    match dropped.exc_value:
        case KeyboardInterrupt():
            number: int = signal.SIGINT
        case SystemExit(code=int(code)) if code > signal.NSIG:  # what a shell calls 128 + the signal's number
            number = code - 128
        case _:
            sys.__unraisablehook__(dropped)
            return
    again = Timer(_AGAIN_S, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()
