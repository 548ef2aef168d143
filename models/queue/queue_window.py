"""How many messages a rung's queue should hold: what the fleet begins within a few seconds, and no more."""

from collections.abc import Mapping
from dataclasses import dataclass, field

HORIZON_S = 3.0  # a queue is heard in order: who comes last waits for all of it
_FIRST_WINDOW = 100
_LEAST_WINDOW = 10
_GROWTH = 4  # a window that one tick emptied is then too deep by four ticks at the most
_SHRINKAGE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Waiting jobs whose time has come and that have no message; `late_s` is how long the first of them is due."""

    jobs: int
    late_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueWindow:
    """The state that one dispatcher leaves to the next.

    `window` is how many messages the queue may hold; `level` what it held when a clock last looked, with all that was
    sent since; `passes` how far each batch is with its share.
    """

    window: int = _FIRST_WINDOW
    level: int = 0
    passes: Mapping[str, float] = field(default_factory=dict)

    def next_window(self, pending: int, *, tick_s: float, most: int) -> int:
        """Learn from what is left of the queue, one tick later, how deep it should be; at most `most`.

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
