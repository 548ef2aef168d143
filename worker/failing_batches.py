"""The same failure for one job of a batch after another: the batch is wrong, not the jobs."""

from dataclasses import dataclass, field
from threading import Lock

from models.job.values import Ending
from models.outcome import OVER_BUDGET, State


@dataclass(slots=True)
class FailingBatches:
    """Counts for each batch the jobs in a row that failed with the same outcome. 0: a batch never pauses."""

    pause_after: int
    _streaks: dict[str, tuple[str, int]] = field(default_factory=dict, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)

    def note(self, batch_id: str | None, ending: Ending) -> str | None:
        """Count an ending. Returns, once, the reason to pause the batch if the streak is long enough."""
        if not self.pause_after or batch_id is None or ending.state is State.WAITING or ending.outcome == OVER_BUDGET:
            return None
        with self._lock:
            if ending.state is not State.FAILED:
                self._streaks.pop(batch_id, None)
                return None
            outcome, count = self._streaks.get(batch_id, ("", 0))
            count = count + 1 if outcome == ending.outcome else 1
            if count < self.pause_after:
                self._streaks[batch_id] = (ending.outcome, count)
                return None
            self._streaks.pop(batch_id, None)
        message = f"{count} jobs in a row ended {ending.outcome}, the last one with: {ending.error}"
        return f"{message}; stepdown release lets the others go on, stepdown cancel ends them"
