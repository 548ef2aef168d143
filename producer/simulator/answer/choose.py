"""The rule that answers a request: the first whose selectors all fit, with its uses counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from producer.simulator.answer.answers import ANSWERS
from producer.simulator.answer.rule import EVERY_MODEL, Rule

if TYPE_CHECKING:
    from producer.simulator.answer.draw import Draw
    from producer.simulator.answer.script import Script
    from producer.simulator.request.prompt import Prompt

ANSWER_WELL = Rule(number=0, answer=ANSWERS["ok"], models=EVERY_MODEL)


@dataclass(slots=True)
class Chooser:
    """A script being played: jobs and seconds count from its start."""

    script: Script
    started_s: float
    _jobs: dict[str, int] = field(default_factory=dict)
    _unnamed_jobs: int = 0
    _uses: Counter[int] = field(default_factory=Counter)
    _uses_by_job: Counter[tuple[int, int]] = field(default_factory=Counter)

    @property
    def jobs(self) -> int:
        """How many different jobs were seen."""
        return len(self._jobs) + self._unnamed_jobs

    def number_of(self, job: str | None) -> int:
        """Return the number of a job, from 1 by first request. A request without a job counts as a job."""
        if job is None:
            self._unnamed_jobs += 1
            return self.jobs
        if job not in self._jobs:
            self._jobs[job] = self.jobs + 1
        return self._jobs[job]

    def noise(self, draw: Draw) -> Rule | None:
        """Draw the noise that answers this request. Returns None if no noise applies."""
        if not self.script.noise:
            return None
        point = draw.share("noise")
        for rule in self.script.noise:
            if point < rule.share:
                return rule
            point -= rule.share
        return None

    def choose(self, prompt: Prompt, job_number: int, draw: Draw, now_s: float, *, item: bool = False) -> Rule:
        """Return the first rule that fits, or the rule that answers well."""
        age_s = now_s - self.started_s
        for rule in self.script.rules:
            if (
                prompt.model.id in rule.models
                and rule.is_for(item=item)
                and rule.from_job <= job_number
                and (rule.to_job is None or job_number <= rule.to_job)
                and rule.from_s <= age_s
                and (rule.to_s is None or age_s < rule.to_s)
                and (rule.times is None or self._uses[rule.number] < rule.times)
                and (rule.times_per_job is None or self._uses_by_job[rule.number, job_number] < rule.times_per_job)
                and (not rule.prompt_contains or prompt.says(rule.prompt_contains))
                and (rule.share == 1 or draw.share(f"rule {rule.number}") < rule.share)
            ):
                self._uses[rule.number] += 1
                self._uses_by_job[rule.number, job_number] += 1
                return rule
        return ANSWER_WELL
