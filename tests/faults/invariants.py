"""What must hold once a site is at rest: I1 to I5, I9 and I10 of faults.md, by SQL and the purchase log."""

import json
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.faults.site import Site

_FINAL = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was counted, and what is wrong. `held` jobs wait for a person, with their reason."""

    jobs: int
    succeeded: int
    held: int
    purchases: int
    attempts: int
    unknown_costs: int
    half_price: int
    rebuys: int
    wrong: tuple[str, ...]

    @property
    def losses(self) -> int:
        """Count jobs that are neither ended nor held, and purchases without a row."""
        return sum("lost" in message for message in self.wrong)

    @property
    def doubles(self) -> int:
        """Count jobs bought more often than recorded."""
        return sum("bought" in message for message in self.wrong)


def examine(site: Site) -> Findings:
    """Check everything; `wrong` is empty where every invariant holds."""
    jobs = {row["id"]: row for row in site.rows("SELECT * FROM jobs")}
    attempts = {row["id"]: row for row in site.rows("SELECT * FROM attempts")}
    answers = {row["job_id"]: row for row in site.rows("SELECT * FROM answers")}
    purchases = [_of_attempt(purchase, attempts) for purchase in site.simulator.purchases()]
    held = [row for row in jobs.values() if _is_held(row)]
    wrong = [
        *_open_jobs(jobs),
        *_purchases_without_row(purchases, attempts),
        *_budgets(site, attempts),
        *_costs(purchases, attempts),
        *_doubles(purchases, jobs, attempts),
        *_walks(attempts),
        *_answers(jobs, answers, attempts),
    ]
    return Findings(
        jobs=len(jobs),
        succeeded=sum(row["state"] == "succeeded" for row in jobs.values()),
        held=len(held),
        purchases=len(purchases),
        attempts=len(attempts),
        unknown_costs=sum(row["cost_nano_usd"] is None for row in attempts.values()),
        half_price=sum(row["message_batch_id"] is not None for row in attempts.values()),
        rebuys=sum(row["rebuys"] for row in jobs.values()),
        wrong=tuple(wrong),
    )


def _of_attempt(purchase: dict[str, Any], attempts: dict[str, Any]) -> dict[str, Any]:
    """Name the attempt and the job of an item of a message batch. A lost item's cost stands in a late attempt."""
    if (item := purchase["custom_id"]) is None:
        return purchase
    stray = next((row["id"] for row in attempts.values() if row["note"] == item and row["message_batch_id"]), item)
    job = attempts[stray]["job_id"] if stray in attempts else None
    return {**purchase, "attempt": stray, "job": job}


def _is_held(job: dict[str, Any]) -> bool:
    return job["state"] == "waiting" and job["due_at"] is None


def _open_jobs(jobs: dict[str, Any]) -> list[str]:
    lost = [row for row in jobs.values() if row["state"] not in _FINAL and not _is_held(row)]
    unsaid = [row for row in jobs.values() if _is_held(row) and not row["error"]]
    return [f"I1: job {row['id']} is lost: {row['state']}" for row in lost] + [
        f"I1: job {row['id']} is held and does not say why" for row in unsaid
    ]


def _purchases_without_row(purchases: list[dict[str, Any]], attempts: dict[str, Any]) -> list[str]:
    rows = Counter(purchase["attempt"] for purchase in purchases)
    return [f"I2: purchase {attempt} is lost: it has no row" for attempt in rows if attempt not in attempts] + [
        f"I2: attempt {attempt} was sent {count} times" for attempt, count in rows.items() if count > 1
    ]


def _budgets(site: Site, attempts: dict[str, Any]) -> list[str]:
    """I4: what a budget says is what its attempts say, and is within its cap but for costs above their worst case."""
    wrong = []
    for row in site.rows("SELECT * FROM budgets"):
        day = row["day"]
        own = [one for one in attempts.values() if row["scope"] in json.loads(one["budgets"] or "[]")]
        own = [one for one in own if not day or str(one["opened_at"]).startswith(day)]
        known = [one for one in own if one["cost_nano_usd"] is not None]
        unknown = [one for one in own if one["cost_nano_usd"] is None and (one["closed_at"] or one["unknown_at"])]
        in_flight = [one for one in own if one["closed_at"] is None and one["unknown_at"] is None]
        reported = {
            "spent_nano_usd": sum(one["cost_nano_usd"] for one in known),
            "unknown_nano_usd": sum(max(one["reserved_nano_usd"], one["least_nano_usd"] or 0) for one in unknown),
            "reserved_nano_usd": sum(one["reserved_nano_usd"] for one in in_flight),
        }
        wrong += [
            f"I4: {name} of {row['scope']} is {row[name]}, not {sum_}"
            for name, sum_ in reported.items()
            if row[name] != sum_
        ]
        shown = [(one["reserved_nano_usd"], one["cost_nano_usd"] or one["least_nano_usd"] or 0) for one in own]
        above = sum(max(0, least - reserved) for reserved, least in shown)
        if sum(reported.values()) > row["cap_nano_usd"] + above:
            wrong.append(f"I4: {row['scope']} is over its cap of {row['cap_nano_usd']}: {reported}")
    return wrong


def _costs(purchases: list[dict[str, Any]], attempts: dict[str, Any]) -> list[str]:
    """I10: each known cost is the simulator's own, to the nano-dollar, and no least cost is above the simulator's."""
    wrong = []
    for purchase in purchases:
        row = attempts.get(purchase["attempt"])
        if row is not None and row["cost_nano_usd"] not in {None, purchase["billed_nano_usd"]}:
            wrong.append(f"I10: attempt {row['id']} cost {purchase['billed_nano_usd']}, not {row['cost_nano_usd']}")
        least = 0 if row is None else row["least_nano_usd"] or 0
        if least > purchase["billed_nano_usd"]:
            wrong.append(f"I10: attempt {purchase['attempt']} cost {purchase['billed_nano_usd']}, less than {least}")
    bought = {purchase["attempt"] for purchase in purchases}
    return wrong + [
        f"I10: attempt {row['id']} has a cost and was never asked for"
        for row in attempts.values()
        if row["id"] not in bought and row["cost_nano_usd"]
    ]


def _doubles(purchases: list[dict[str, Any]], jobs: dict[str, Any], attempts: dict[str, Any]) -> list[str]:
    """I3: at most one billed purchase a job and model, but for each recorded purchase again, and each late item."""
    overlaps = {row["id"] for row in attempts.values() if row["message_batch_id"] and row["outcome"] == "late"}
    billed = Counter(
        (purchase["job"], purchase["requested_model"])
        for purchase in purchases
        if purchase["billed_nano_usd"] and purchase["attempt"] not in overlaps
    )
    over: Counter[str] = Counter()
    for (job, _), count in billed.items():
        over[job] += count - 1
    return [
        f"I3: job {job} was bought {count} times more than once, {jobs[job]['rebuys']} recorded"
        for job, count in over.items()
        if job in jobs and count > jobs[job]["rebuys"]
    ]


def _walks(attempts: dict[str, Any]) -> list[str]:
    """I5: nothing is asked after an end that forbids it."""
    wrong = []
    by_job: dict[str, list[Any]] = {}
    for row in attempts.values():
        by_job.setdefault(row["job_id"], []).append(row)
    for job_id, rows in by_job.items():
        numbers = sorted(row["attempt_no"] for row in rows)
        if numbers != list(range(1, len(rows) + 1)):
            wrong.append(f"I5: the attempts of job {job_id} are numbered {numbers}")
        rows.sort(key=lambda row: row["attempt_no"])
        wrong.extend(
            f"I5: job {job_id} went on after {before['outcome']}"
            for before, after in pairwise(rows)
            if before["outcome"] == "bad_request" and after["rung"] != before["rung"]
        )
    return wrong


def _answers(jobs: dict[str, Any], answers: dict[str, Any], attempts: dict[str, Any]) -> list[str]:
    """I9: a job that succeeded has one answer, of an attempt of its own; no other job has one."""
    wrong = [
        f"I9: job {row['id']} is {row['state']} and {'has an' if row['id'] in answers else 'has no'} answer"
        for row in jobs.values()
        if (row["state"] == "succeeded") is not (row["id"] in answers)
    ]
    for job_id, answer in answers.items():
        row = attempts[answer["attempt_id"]]
        message = answer["message"]
        reported = json.loads(message) if isinstance(message, str) else message
        if row["job_id"] != job_id or row["message_id"] != reported["id"]:
            wrong.append(f"I9: the answer of job {job_id} is not the one its attempt was given")
    return wrong
