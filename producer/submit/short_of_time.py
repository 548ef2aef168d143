"""Half-price jobs whose deadline is too near for a message batch: a line for their caller."""

from collections.abc import Mapping
from functools import cache

from models.errors import LedgerError
from models.reports.batch_history import BatchHistory
from models.settings import Settings
from producer.output.format import counted, duration


def short_of_time(jobs: Mapping[tuple[int, float], int], settings: Settings, history: BatchHistory) -> str | None:
    """Return a line on the jobs that go live at once, as the packer decides. Returns None if all have their time.

    `jobs` counts half-price jobs by rung, and by the seconds until they go live.
    """

    @cache
    def needs_s(rung: int) -> float:
        usual_s = settings.half_price_usual_s
        try:
            takes_s = history.takes_s(settings.chain.models[rung], usual_s=usual_s)
        except LedgerError:  # the jobs are accepted, and the line is only a hint
            takes_s = usual_s
        return takes_s + settings.half_price_grace_s

    late = {group: count for group, count in jobs.items() if group[1] < needs_s(group[0])}
    if not late:
        return None
    enough = duration(max(needs_s(rung) for rung, _ in late) + settings.half_price_live_s)
    count = counted(sum(late.values()), "job goes", "jobs go")
    return f"{count} live at the whole price: the deadline is too near for a message batch, which needs {enough}"
