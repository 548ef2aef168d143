"""The arithmetic of the referee: what was possible, and how much of it a side made of it. Seconds count from the start.

Everything is read from the simulator's purchase log, which is the same for all sides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median

Kinds = Mapping[str, float]
_WINDOW_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request as the provider saw it: when it came, which limit group it drew on, how it was answered.

    `input_tokens` are uncached ones; both counters are 0 where nothing was generated.
    """

    at_s: float
    group: str
    status: int | None
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def is_answered(self) -> bool:
        """Tell whether it was let in and answered."""
        return self.status == 200


def needs_of(calls: Sequence[Call]) -> dict[str, float]:
    """Say what the mean answered call took of each kind of limit: requests, input and output tokens."""
    answered = [call for call in calls if call.is_answered]
    return {
        "requests": 1.0,
        "input_tokens": mean([call.input_tokens for call in answered] or [0]),
        "output_tokens": mean([call.output_tokens for call in answered] or [0]),
    }


def ideal_makespan_s(jobs: int, limits: Mapping[str, Kinds], needs: Kinds) -> float:
    """Tell the least time in which a fluid of these jobs could pass the buckets of all groups, full at the start.

    `limits` are per minute, by group and kind; a bucket holds one minute of them. Latency, and that a job is
    one piece, are not in it.

    >>> ideal_makespan_s(300, {"a": {"requests": 60}, "b": {"requests": 600, "output_tokens": 900}}, \
{"requests": 1, "output_tokens": 10})
    60.0
    """
    a_minute = sum(jobs_a_minute(kinds, needs) for kinds in limits.values())
    return max(0.0, (jobs / a_minute - 1) * 60)


def jobs_a_minute(limits: Kinds, needs: Kinds) -> float:
    """Tell how many jobs one group's limits let through in a minute: as many as its binding kind does."""
    return min(limit / needs[kind] for kind, limit in limits.items())


def binding_kind(limits: Kinds, needs: Kinds) -> str:
    """Name the limit that runs out first."""
    return min(limits, key=lambda kind: limits[kind] / needs[kind])


def work_ended_s(calls: Sequence[Call]) -> float:
    """Tell when the last call that was answered came in: from then on nobody wanted anything."""
    return max((call.at_s for call in calls if call.is_answered), default=0.0)


def quota_shares(calls: Sequence[Call], limits: Mapping[str, Kinds], needs: Kinds) -> dict[str, float]:
    """Tell, by group, which share of its binding limit was used while there was work; `all` weighs them by jobs.

    What there was to use is a full bucket and its refill until the last answered call came in.
    """
    minutes = 1 + work_ended_s(calls) / 60
    shares = {}
    for group, kinds in limits.items():
        kind = binding_kind(kinds, needs)
        used = sum(_took(call, kind) for call in calls if call.group == group and call.is_answered)
        shares[group] = used / (kinds[kind] * minutes)
    weights = {group: jobs_a_minute(kinds, needs) for group, kinds in limits.items()}
    everything = sum(shares[group] * weights[group] for group in limits) / sum(weights.values())
    return {**shares, "all": everything}


def _took(call: Call, kind: str) -> int:
    return 1 if kind == "requests" else int(getattr(call, kind))


def share_answered(calls: Sequence[Call], status: int) -> float:
    """Tell which share of all calls was answered with this status."""
    return sum(call.status == status for call in calls) / max(1, len(calls))


@dataclass(frozen=True, slots=True, kw_only=True)
class Waste:
    """Calls that an outage answered: those that came within `onset_s` of its beginning, and the rest by interval."""

    at_onset: int
    later: int
    per_interval: float
    most_in_one: int


def waste(failed_at_s: Sequence[float], *, from_s: float, to_s: float, interval_s: float, onset_s: float) -> Waste:
    """Count failed calls between two times, per probe interval after the onset."""
    begin_s = from_s + onset_s
    later = [at_s for at_s in failed_at_s if begin_s <= at_s < to_s]
    by_interval = [0] * max(1, round((to_s - begin_s) / interval_s))
    for at_s in later:
        by_interval[min(len(by_interval) - 1, int((at_s - begin_s) / interval_s))] += 1
    return Waste(
        at_onset=sum(from_s <= at_s < begin_s for at_s in failed_at_s),
        later=len(later),
        per_interval=len(later) * interval_s / (to_s - begin_s),
        most_in_one=max(by_interval),
    )


def full_rate(answered_at_s: Sequence[float], *, from_s: int, to_s: int) -> float:
    """Tell the rate before an outage: the median of the answered calls per second between two whole seconds."""
    return median(per_second(answered_at_s, from_s=from_s, to_s=to_s))


def recovery_s(answered_at_s: Sequence[float], *, at_s: int, to_s: int, rate: float) -> int | None:
    """Tell which whole second is the first that reaches `rate` calls and begins five whose median does.

    None: there was none up to the whole second `to_s`, when the watch (or the work) ended.
    """
    counts = per_second(answered_at_s, from_s=at_s, to_s=to_s)
    for second in range(len(counts) - _WINDOW_S + 1):
        if min(counts[second], median(counts[second : second + _WINDOW_S])) >= rate:
            return second
    return None


def per_second(at_s: Sequence[float], *, from_s: int, to_s: int) -> list[int]:
    """Count by whole second from `from_s` until before `to_s`."""
    counts = [0] * (to_s - from_s)
    for when_s in at_s:
        if from_s <= when_s < to_s:
            counts[int(when_s - from_s)] += 1
    return counts
