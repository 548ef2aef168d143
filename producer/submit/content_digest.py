"""The digest of the content of a batch: the same key with the same content is the same batch."""

import hashlib
import json
from decimal import Decimal

from models.chain.capabilities import betas_of
from models.job.map_reduce import OnFailedPart
from models.job.task_kinds import usual_climbs
from models.job.values import NewJob
from models.outcome import Outcome


class Content:
    """A digest of jobs, added in order. An option left out adds nothing, so older batches are recognized.

    `climbs` are those of the settings.
    """

    def __init__(
        self, climbs: frozenset[Outcome], max_cost_usd: Decimal | None, on_failed_part: OnFailedPart | None
    ) -> None:
        self._climbs = climbs
        self._digest = hashlib.sha256()
        self.hexdigest = self._digest.hexdigest
        if max_cost_usd is not None:
            self._digest.update(f"{max_cost_usd.normalize():f}".encode())
        if on_failed_part is not None:
            self._digest.update(on_failed_part.encode())

    def add(self, job: NewJob) -> None:
        """Add the request of a job, before any learned start."""
        rungs = [job.span.start, job.span.floor, job.span.ceiling]
        asked = [job.prompt_id, job.task, job.params, rungs, job.columns]
        if job.refused is not None:
            asked.append({"refused": job.refused.error})
        if job.on_unknown is not None:
            asked.append(job.on_unknown)
        if job.expects is not None:
            asked.append({"expects": job.expects})
        if job.climb_on is not None and job.climb_on != usual_climbs(job.task, job.expects, self._climbs):
            asked.append({"climb_on": sorted(job.climb_on)})
        if job.headers is not None and (betas := betas_of(job.headers)):  # a newer SDK may ask again
            asked.append({"betas": betas})
        self._digest.update(json.dumps(asked, sort_keys=True).encode())
