"""The chain before llmock, which injects faults and judges the retries of its client.

For llmock, a request to the next model is another call. So a step down after one failure is a warning, `gave_up`. A
stream that ends early is an error unless the same model is called again, and such a call may be billed: the chain
steps down. The ledger proves instead that no such answer is kept.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import Request, urlopen

from producer.client import Batch
from producer.prompt.prompt import Prompt
from tests.clients.llmock import running_llmock
from tests.support.eventually import eventually
from tests.support.sites.worker_site import HAIKU, OPUS, SONNET, Plant, forget_faults, working_plant

Check = tuple[str, bool, str]
_LONG = 8000  # tokens; so long an answer is streamed
# The fault of each round, the way its jobs end, and their max_tokens.
_ROUNDS: tuple[tuple[str, Mapping[str, Any], str, int], ...] = (
    ("429 with retry-after 2", {"status": 429, "retry_after": 2, "times": 6}, "succeeded", 50),
    ("429 with retry-after 60", {"status": 429, "retry_after": 60, "match": {"model": OPUS}}, "succeeded", 50),
    ("529 on the primary", {"status": 529, "times": None, "match": {"model": OPUS}}, "succeeded", 50),
    ("529 on all models, a while", {"status": 529, "times": 12}, "succeeded", 50),
    ("500", {"status": 500, "times": 3}, "succeeded", 50),
    ("503 on all models, a while", {"status": 503, "times": 12}, "succeeded", 50),
    ("400", {"status": 400, "times": 4, "message": "messages: too odd"}, "failed", 50),
    ("404 on the primary", {"status": 404, "times": None, "match": {"model": OPUS}}, "succeeded", 50),
    ("streams that end early", {"type": "stream_fault", "kind": "truncate", "times": 2}, "succeeded", _LONG),
    ("streams that break", {"type": "stream_fault", "kind": "disconnect", "times": 2}, "succeeded", _LONG),
    ("streams that are corrupt", {"type": "stream_fault", "kind": "malformed", "times": 2}, "succeeded", _LONG),
    ("401 until a person mends the key", {"status": 401, "times": None}, "waits", 50),
)
_JOBS, _PROBES = 4, 2
_CUT_SHORT = "truncated_stream_accepted"


def checks(python: Path) -> Iterator[Check]:
    """Have each fault hit a batch; yield the fault and its end, whether that is right, and llmock's verdict."""
    with TemporaryDirectory() as folder, running_llmock(python) as url:
        chain = {"MODEL_CHAIN": f"{OPUS},{SONNET},{HAIKU}", "TASK_STARTS": "", "KEY_PAUSE_S": "2"}
        with working_plant(Path(folder, "site"), ANTHROPIC_BASE_URL=f"{url}/anthropic", **chain) as plant:
            for number, (name, fault, end, most) in enumerate(_ROUNDS):
                forget_faults(plant.variables["REDIS_URL"])
                _call(url, "reset", {})
                _call(url, "scenario", {"behaviors": [{"type": "fail", **fault}]})
                batch = plant.submit(
                    *(Prompt(f"{number}: name harbour {job}.", max_tokens=most) for job in range(_JOBS))
                )
                is_ended = _has_ended(plant, batch, end)
                verdict = _call(url, "verdict")
                found = sorted({f"{one['severity']} {one['code']}" for one in verdict["findings"]})
                counts = f"{verdict['attempts']} attempts, {verdict['faults_injected']} faults"
                errors = [one["code"] for one in verdict["findings"] if one["severity"] == "error"]
                cuts = [row for row in plant.attempts(batch) if row["outcome"] == "cut"]
                is_judged = verdict["passed"] or errors == [_CUT_SHORT] * len(cuts)
                is_kept = is_ended and is_judged and verdict["faults_injected"] > 0
                yield f"{name}: {end}", is_kept, f"{counts}; {', '.join(found) or 'PASS'}"


def _has_ended(plant: Plant, batch: Batch, end: str) -> bool:
    """Return whether all jobs end so. Jobs that wait are watched over three pauses of the key."""
    if end != "waits":
        return {str(one.state) for one in plant.finished(batch, within_s=90)} == {end}
    plant.parked(batch)
    eventually(lambda: len(plant.attempts(batch)) > _PROBES, within_s=30, because="the key is probed again and again")
    return set(batch.progress().states) <= {"waiting", "queued", "running"}


def _call(url: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    sent = None if body is None else json.dumps(body).encode()
    with urlopen(Request(f"{url}/_llmock/{path}", data=sent), timeout=10) as response:  # noqa: S310 - on loopback
        return json.load(response)
