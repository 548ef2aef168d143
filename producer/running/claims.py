"""Whether workers claim jobs. A health check asks every few seconds: nothing heavy is imported here."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from math import isinf
from typing import Literal

from models.queue.liveness import FRESH_S, claiming, last_proof_s
from models.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A finding: the state of a thing, and the right state."""

    what: str
    verdict: Literal["ok", "warn", "fail"]
    message: str


def examine_worker(settings: Settings) -> Iterator[Finding]:
    """Look for a proof, seconds old, that a worker of this machine and STATE_DIR claims jobs: a health check."""
    age_s = last_proof_s(settings.state_dir)
    if age_s is not None and age_s <= FRESH_S:
        yield Finding(what="worker", verdict="ok", message=f"a worker here claims jobs, as it proved {age_s:.0f} s ago")
        return
    where = f"no worker of {socket.gethostname()} claims jobs"
    if age_s is None:
        fix = f"{where}: none runs with STATE_DIR={settings.state_dir}; `stepdown worker` tells what ends it"
    elif isinf(age_s):
        fix = f"{where}: one runs, and has claimed nothing yet; its log tells what it waits for"
    else:
        fix = f"{where}: one runs, and its last proof is {age_s:.0f} s old; its log tells what it waits for"
    yield Finding(what="worker", verdict="fail", message=fix)


def workers(url: str | None) -> Finding:
    """Count the workers of the whole fleet that claim jobs. Raises BrokerError."""
    count = 0 if url is None else len(claiming(url))
    if count:
        message = "1 worker claims jobs" if count == 1 else f"{count} workers claim jobs"
        return Finding(what="worker", verdict="ok", message=message)
    fix = "no worker claims jobs: start `stepdown worker`; where one runs, its log tells what it waits for"
    return Finding(what="worker", verdict="fail", message=fix)
