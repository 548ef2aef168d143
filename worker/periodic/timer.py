"""A timer: a task that recurs in a thread of its own, even after an error."""

from collections.abc import Callable
from threading import Event, Thread

from models.errors import StepdownError
from worker.events import Report, TimerFailed


def run_every(interval_s: float, do: Callable[[], object], *, name: str, report: Report) -> Callable[[], None]:
    """Begin after one interval. Returns a function that stops the timer. After an error the timer goes on."""
    over = Event()

    def ticking() -> None:
        while not over.wait(interval_s):
            try:
                do()
            except StepdownError as error:
                report(TimerFailed(name=name, message=str(error)))
            except Exception as error:  # noqa: BLE001 - a clock that stops is a queue that stops, and nobody would know
                report(TimerFailed(name=name, message=f"a mistake of ours: {type(error).__name__}: {error}"))

    thread = Thread(target=ticking, name=name, daemon=True)
    thread.start()

    def stop() -> None:
        over.set()
        thread.join()

    return stop
