"""Failpoints: named places at which a test can kill the worker. Outside tests no failpoint is armed or costs time."""

import os
import signal
from threading import Lock

NAMES = ("after_claim", "before_open", "after_open", "after_reply", "after_spool", "after_commit", "after_send")
OF_LANE = ("before_create", "after_create")  # of a message batch
_armed: dict[str, int] = {}
_lock = Lock()


def arm(spec: str) -> None:
    """Arm a failpoint: `after_spool` kills at the first crossing, `after_spool:3` at the third. "" disarms all."""
    _armed.clear()
    if not spec:
        return
    name, _, count = spec.partition(":")
    if name not in (*NAMES, *OF_LANE) or not (count or "1").isdecimal():
        raise ValueError(f"{spec!r} is no failpoint: write one of {', '.join((*NAMES, *OF_LANE))}, and perhaps :N")
    _armed[name] = int(count or 1)


def failpoint(name: str) -> None:
    """End the process here, as a kill would, if this failpoint is armed and its count has come."""
    if _armed:
        _cross(name)


def _cross(name: str) -> None:
    with _lock:
        left = _armed.get(name, 0) - 1
        if left >= 0:
            _armed[name] = left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
