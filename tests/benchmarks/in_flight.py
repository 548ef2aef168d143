"""Many calls in flight in one worker process: its memory, and how near its makespan comes to the ideal."""

from pathlib import Path
from tempfile import TemporaryDirectory

from producer.simulator.process import running_simulator
from tests.benchmarks.figure import Figure
from tests.benchmarks.measured import Measured
from tests.benchmarks.workers import stepdown_worker
from tests.support.servers.valkey import running_valkey

_ANSWER_S = 10.0
_MOST_RSS_MB = {1_000: 200.0, 2_000: 300.0}
_JOBS, _PLACES, _MOST_MAKESPAN = 3_000, 1_000, 1.15
_SCRIPT = """
[[rules]]
answer = 'slow'
delay_s = {answer_s}

[limits.opus-4]
requests_per_minute = {rpm}
input_tokens_per_minute = 1000000000
output_tokens_per_minute = 1000000000
"""


def in_flight(share: float) -> list[Figure]:
    """Measure with 1,000 and 2,000 calls in flight, each of ten seconds, by a key whose limits are known."""
    rows = []
    for places, most_mb in _MOST_RSS_MB.items():
        ran = _run(places, jobs=int(2 * places * share))
        rows.append(Figure(name=f"RSS with {places:,} in flight, MB", value=ran.peak_rss_mb, target=most_mb))
    jobs = int(_JOBS * share)
    ideal_s = max(1, jobs / _PLACES) * _ANSWER_S
    wall_s = _run(_PLACES, jobs=jobs).wall_s
    name = f"{jobs:,} jobs of {_ANSWER_S:.0f} s, {_PLACES:,} places, limits known: makespan / ideal"
    return [*rows, Figure(name=name, value=wall_s / ideal_s, target=_MOST_MAKESPAN)]


def _run(places: int, *, jobs: int) -> Measured:
    with TemporaryDirectory() as folder, running_simulator() as api:
        api.set_script(_SCRIPT.format(answer_s=_ANSWER_S, rpm=round(places * 60 / _ANSWER_S)))
        with running_valkey(Path(folder)) as url:
            return stepdown_worker(url, api.url, Path(folder), jobs=jobs, concurrency=places)
