"""The intake: a worker takes no jobs while stopping, nor while a reply could not be kept."""

from collections.abc import Callable
from threading import Event, Lock

from worker.events import DiskLow, Report

_LOOK_EVERY_S = 1.0
STOPPING = "the worker stops"
DISK_LOW = "the disk is nearly full"


class Intake:
    """Shared by all threads of a worker. `free_mb` returns the free MB for replies and ledger."""

    def __init__(
        self, *, free_mb: Callable[[], int], needed_mb: int, clock: Callable[[], float], report: Report
    ) -> None:
        self._free_mb = free_mb
        self._needed_mb = needed_mb
        self._clock = clock
        self._report = report
        self._stopping = Event()
        self._looking = Lock()
        self._looked_at = -_LOOK_EVERY_S
        self._is_low = False
        self._shut: str | None = None

    def close(self) -> None:
        """Take no more jobs, and end each job after its present call."""
        self._stopping.set()

    def is_stopping(self) -> bool:
        """Return whether the intake was closed."""
        return self._stopping.is_set()

    def shut(self, because: str | None) -> None:
        """Take no more jobs until the reason is gone (None): a worker that cannot work leaves jobs to others."""
        self._shut = because

    def is_fit(self) -> bool:
        """Return whether this worker could work on a job now, stopping or not."""
        return self._shut is None and not self._is_disk_low()

    def closed_reason(self) -> str | None:
        """Return the reason why no job may be claimed. Returns None if a job may be claimed."""
        if self._stopping.is_set():
            return STOPPING
        return self._shut or (DISK_LOW if self._is_disk_low() else None)

    def _is_disk_low(self) -> bool:
        with self._looking:
            if self._clock() - self._looked_at >= _LOOK_EVERY_S:
                self._looked_at = self._clock()
                free, was_low = self._free_mb(), self._is_low
                self._is_low = free < self._needed_mb
                if self._is_low and not was_low:
                    self._report(DiskLow(free_mb=free, needed_mb=self._needed_mb))
            return self._is_low
