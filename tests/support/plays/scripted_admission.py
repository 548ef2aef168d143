"""Admission control that follows a script."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.admission.admission import Capacity, Change, Denied, Granted, Request, Result


@dataclass(slots=True)
class ScriptedAdmission:
    """Answers each question with the next word of its script: go, or a reason and seconds, as in circuit_open:5.

    After the last it lets everything through.
    """

    script: list[str] = field(default_factory=list)
    needs: list[Request] = field(default_factory=list)
    ends: list[Result] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)  # what each end makes of a breaker; nothing after the last
    details: Mapping[str, float | str] = field(default_factory=dict)  # of each denial

    def acquire(self, need: Request) -> Granted | Denied:
        """Answer as the script says."""
        self.needs.append(need)
        reason, _, seconds = (self.script.pop(0) if self.script else "go").partition(":")
        if reason == "go":
            return Granted(after_s=float(seconds or 0))
        return Denied(reason=reason, wait_s=float(seconds), details=self.details)

    def release(self, ended: Result) -> Change:
        """Keep it."""
        self.ends.append(ended)
        return self.changes.pop(0) if self.changes and ended.how != "not_sent" else ""

    def capacity(self, models: Mapping[str, str], *, horizon_s: float) -> Mapping[str, Capacity]:  # noqa: ARG002 - the Protocol's
        """Have room for everything."""
        return {model: Capacity(free=1_000, is_closed=False) for model in models}
