"""What a site's jobs tell of themselves: whether each story adds up, and those most worth reading."""

import re
from collections.abc import Iterator

from models.money.pricing import NANO_USD
from producer.output.format import money
from producer.story.reason_sentence import because
from producer.story.rows import job_record
from producer.story.story import story
from tests.faults.site import Site

_CALL = re.compile(r"^  (?:\d\d:\d\d:\d\d|\s{8})  \d+\. ", re.MULTILINE)
_TOLD = "(SELECT count(*) FROM decisions AS d WHERE d.job_id = v_jobs.job_id)"
_LOST = "(SELECT count(*) FROM v_attempts AS a WHERE a.job_id = v_jobs.job_id AND a.unknown_at IS NOT NULL)"
_WALKS = "(SELECT count(DISTINCT d.lease_token) FROM decisions AS d WHERE d.job_id = v_jobs.job_id)"
# What makes a job worth reading: the first by each of these.
_MOST = (
    _TOLD,
    f"fallback_depth * 100 + {_TOLD}",
    f"{_LOST} * (1 + {_TOLD})",
    "rebuys * 100 + attempts",
    f"attempts * 100 + {_WALKS}",
)


def stories(site: Site, count: int) -> str:
    """Tell the stories of up to so many jobs: most decisions, deepest, rescued, bought again, most attempts."""
    return "\n".join(_story(site, job_id) for job_id in _interesting(site)[:count])


def untold(site: Site) -> tuple[str, ...]:
    """List jobs whose story does not add up to what the ledger says, and words that no sentence tells."""
    jobs = site.rows("SELECT job_id, attempts, unknown_costs, cost_nano_usd FROM v_jobs")
    reasons = {row["reason"] for row in site.rows("SELECT DISTINCT reason FROM v_story WHERE kind = 'decision'")}
    words = [f"no sentence tells {reason!r}" for reason in reasons if because(reason, {}) == reason]
    return (*words, *(message for job in jobs for message in _mismatches(site, job)))


def _mismatches(site: Site, job: dict[str, int | str]) -> Iterator[str]:
    reported = _story(site, str(job["job_id"]))
    count, unknown = int(job["attempts"]), int(job["unknown_costs"])
    if len(_CALL.findall(reported)) != count:
        yield f"job {job['job_id']} made {count} calls, which its story does not tell:\n{reported}"
    known = money(int(job["cost_nano_usd"]) * NANO_USD, unknown=unknown)
    total = f"{count} call{'s' if count > 1 else ''}, {known} in all" if count else "no call was made"
    if total not in " ".join(reported.split()):
        yield f"job {job['job_id']} should end in {total!r}:\n{reported}"


def _story(site: Site, job_id: str) -> str:
    return "\n".join(story(job_record(job_id, site.producer.store.reports), site.producer.models))


def _interesting(site: Site) -> list[str]:
    found: list[str] = []
    for most in _MOST:
        rows = site.rows(f"SELECT job_id FROM v_jobs WHERE {most} > 0 ORDER BY {most} DESC, job_id LIMIT 6")  # noqa: S608
        found += [row["job_id"] for row in rows if row["job_id"] not in found][:1]
    return found
