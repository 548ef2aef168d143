"""Ends a command on a signal, at any place in the code."""

import os
import signal
import sys
from threading import Timer

_AGAIN_S = 0.02


def resend_dropped_signals() -> None:
    """Raise a signal's exit again if Python drops the first: in a finalizer or a weakref's callback."""
    sys.unraisablehook = _resend


def _resend(dropped: "sys.UnraisableHookArgs") -> None:
    match dropped.exc_value:
        case KeyboardInterrupt():
            number: int = signal.SIGINT
        case SystemExit(code=int(code)) if code > signal.NSIG:  # 128 + the signal's number is a shell's code
            number = code - 128
        case _:
            sys.__unraisablehook__(dropped)
            return
    _send_again(number)


def _send_again(number: int) -> None:
    after_s = _AGAIN_S
    while True:
        again = Timer(after_s, os.kill, (os.getpid(), number))
        again.daemon = True
        try:
            again.start()
        except (KeyboardInterrupt, SystemExit):  # came before start() had ended: an exit would be dropped, too
            after_s *= 2
        else:
            return
