"""The number of messages that a rung's queue should hold: as many as the fleet begins within a few seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field

HORIZON_S = 3.0  # a queue is read in order: the last message waits for all others
_FIRST_WINDOW = 100
_LEAST_WINDOW = 10
_GROWTH = 4  # a window that one tick emptied is then too deep by four ticks at the most
_SHRINKAGE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Waiting jobs that are due and have no message; the first has been due for `late_s` seconds."""

    jobs: int
    late_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueWindow:
    """The state that one dispatcher leaves to the next.

    `window` is the most messages that the queue may hold. `level` is the count at the dispatcher's last look, with all
    messages sent since. `passes` has the progress of each batch through its share.
    """

    window: int = _FIRST_WINDOW
    level: int = 0
    passes: Mapping[str, float] = field(default_factory=dict)

    def next_window(self, pending: int, *, tick_s: float, most: int) -> int:
        """Return the next window, from the messages left in the queue one tick later; at most `most`.

        >>> QueueWindow(window=100, level=100).next_window(0, tick_s=1, most=2000), "emptied: the fleet can do more"
        (400, 'emptied: the fleet can do more')
        >>> QueueWindow(window=400, level=400).next_window(300, tick_s=1, most=2000), "100 a second: 300 are 3 s"
        (375, '100 a second: 300 are 3 s')
        """
        if pending:
            wanted = round(max(0, self.level - pending) * HORIZON_S / tick_s)
            window = max(wanted, self.window - (self.window - wanted) // _SHRINKAGE)
        else:
            window = self.window * (_GROWTH if self.level >= self.window else 1)
        return min(most, max(_LEAST_WINDOW, window))
