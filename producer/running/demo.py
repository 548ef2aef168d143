"""`stepdown demo`: a batch through real parts, against a simulated API that fails in one of three ways."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path

from models.accounting.exports import ATTEMPTS
from models.job.task_kinds import JobTerms
from models.outcome import HALF_PRICE
from models.rung_name import DEFAULT_ENDPOINT
from producer.client import Batch, Producer
from producer.files.prompts import opened_prompts
from producer.files.record_to_prompt import ReadOptions
from producer.map_reduce.plan import Document
from producer.output.batch_lines import half_price_lines, receipt
from producer.output.format import money
from producer.output.terminal import print_line
from producer.output.watch import watch
from producer.prompt.prompt import Prompt
from producer.running import demo_processes
from producer.simulator.process import RunningSimulator

_HERE = Path(".stepdown", "demo")
_TEXTS = Path(__file__).parents[1] / "simulator" / "texts"
_QUESTION = '"select * from v_primary_health"'
_NANO = 1_000_000_000
_PACKED_WITHIN_S, _LOOK_EVERY_S = 30.0, 0.2
_PARTS = {
    "at half price": JobTerms(half_price=True, deadline_s=90),
    "at half price, in a message batch that hangs": JobTerms(half_price=True, deadline_s=40),
    "live": JobTerms(),
}
_say = partial(print_line, at_once=True)  # also where stdout is a file


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """One demo: its work in words, the script of the simulator with its faults in words, and the work itself."""

    title: str
    script: str | None
    faults: str
    work: Callable[[Producer, int, RunningSimulator], None]
    has_cloud: bool = False


def run(play: Play, *, jobs: int, stay: bool) -> int:
    """Run a demo in .stepdown/demo. Returns 0 if every job ended and the ledger agrees with each simulator."""
    started = datetime.now(UTC)
    demo_processes.end_in_order()
    shutil.rmtree(_HERE, ignore_errors=True)
    _HERE.mkdir(parents=True)
    _say(f"stepdown demo: {jobs} summaries {play.title}, against a simulated API. No key, no cost.")
    _say("  1. The parts start: a simulated API, a broker (the queue), a worker (makes the calls), Flower (shows it).")
    with ExitStack() as until_end:
        usual = until_end.enter_context(demo_processes.simulator(_HERE, "purchases", play.script, play.faults))
        simulators, cloud = [usual], None
        if play.has_cloud:
            cloud = until_end.enter_context(demo_processes.simulator(_HERE, "cloud", None, "the endpoint `cloud`"))
            simulators.append(cloud)
        settings = demo_processes.settings_at(_HERE, usual.url, None if cloud is None else cloud.url)
        url = until_end.enter_context(demo_processes.broker(settings))
        until_end.enter_context(demo_processes.worker(settings, url))
        until_end.enter_context(demo_processes.flower(settings, url))
        producer = until_end.enter_context(Producer(settings))
        play.work(producer, jobs, usual)
        agrees = _settle(producer, started, simulators)
        if stay:
            _say("  Ctrl-C ends the demo, and Flower with it")
            _wait_for_interrupt()
    return 0 if agrees else 1


def _articles(jobs: int) -> list[Prompt]:
    template = "Summarize this article in two sentences.\n\n{title}\n\n{text}"
    return _prompts(_TEXTS / "articles.csv", ReadOptions(template=template, id_column="id"))[:jobs]


def _work_at_half_price(producer: Producer, jobs: int, _api: RunningSimulator) -> None:
    articles, batches = _articles(jobs), dict[str, Batch]()
    _say("  2. A third of the articles is bought live, the rest in two message batches of the provider, at half price.")
    for number, (name, terms) in enumerate(_PARTS.items()):
        batches[name] = producer.submit(articles[number :: len(_PARTS)], name=name, terms=terms)
        _until_packed(producer, batches[name])  # or two batches would share a message batch
    _say("  3. One message batch hangs: the worker cancels it in time, and buys the rest of its answers live.")
    for name, batch in batches.items():
        _follow(name, batch)
        use = producer.store.reports.half_price(batch.id)
        for line in () if use is None else half_price_lines(use):
            _say(f"  {line}")


def _until_packed(producer: Producer, batch: Batch) -> None:
    until = time.monotonic() + _PACKED_WITHIN_S
    while time.monotonic() < until and _waits_for_place(producer, batch):
        time.sleep(_LOOK_EVERY_S)


def _waits_for_place(producer: Producer, batch: Batch) -> bool:
    return any(waits.reason == HALF_PRICE for waits in producer.store.waits.of_batch(batch.id, producer.models))


def _work_elsewhere(producer: Producer, jobs: int, api: RunningSimulator) -> None:
    articles, third = _articles(jobs), -(-jobs // 3)
    _say("  2. Both endpoints are well: the best model of the usual API answers.")
    _follow("both well", producer.submit(articles[:third], name="well"))
    _say(
        "  3. The whole provider answers 529, then refuses connections: the same model at the endpoint `cloud` goes on."
    )
    api.set_script("[[rules]]\nanswer = '529'\n")
    down_at = time.monotonic()
    _follow("529 from every model", producer.submit(articles[third : 2 * third], name="overloaded"))
    os.kill(api.pid, signal.SIGTERM)
    _follow("no connection", producer.submit(articles[2 * third :], name="unreachable"))
    down_s, by = time.monotonic() - down_at, producer.store.spending.sums(["endpoint"])
    for (endpoint,), each in sorted(by.items()):
        _say(f"  {endpoint}: {each.attempts} calls, {each.answered} answers, {money(each.cost_usd)}")
    failed = by[DEFAULT_ENDPOINT,].failed
    ends = f"{failed} calls failed, in flight by then or as probes"
    _say(f"  {DEFAULT_ENDPOINT} was down for {down_s:.0f} s: {ends}")


def _work(producer: Producer, jobs: int, _api: RunningSimulator) -> None:
    articles = _articles(jobs)
    documents = [Document(prompt.text, id=prompt.id) for prompt in _prompts(_TEXTS / "documents.jsonl", ReadOptions())]
    _say("  2. Each article is a job for the best model; while that is down (jobs 60 to 110), the next model answers.")
    news = producer.submit(articles, name="articles")
    _follow("articles, from the primary", news)
    reduce = "Synthesize these notes into one paragraph.\n\n{text}"
    _say("  3. Each document is summarized by the cheapest model, and the best one makes one text of all summaries.")
    whole = producer.summarize(documents, map="{text}", reduce=reduce, name="documents")
    _follow("12 documents, mapped from the cheapest model up and synthesized on the primary", whole)
    *_, synthesis = whole.answers()
    _say(f"  {synthesis.model}: {(synthesis.text or synthesis.error or '')[:200]}...")


def _settle(producer: Producer, started: datetime, simulators: Sequence[RunningSimulator]) -> bool:
    """Print the receipt, and compare the receipt with the purchase log of each simulator."""
    _say("  4. The receipt: what each model answered and cost; the ledger must equal what the simulator billed.")
    lines, depths = producer.store.reports.models(), producer.store.reports.depths()
    for line in receipt(lines, depths):
        _say(line)
    log = [purchase for simulator in simulators for purchase in simulator.purchases()]
    billed = {purchase["attempt"] or purchase["custom_id"]: purchase["billed_nano_usd"] for purchase in log}
    spent = _costs(producer)
    agrees = (
        len(billed) == len(log) and spent == dict.fromkeys(spent, 0) | billed
    )  # an item that never ran is in no log
    verdict = "equals" if agrees else "DIFFERS FROM"
    known, bought = (Decimal(sum(cost or 0 for cost in costs.values())) / _NANO for costs in (spent, billed))
    logs = "the simulator's purchase log" if len(simulators) == 1 else "both purchase logs"
    _say(f"  ledger {money(known)} {verdict} {logs} {money(bought)}, each of {len(log)} requests")
    if ends := producer.store.reports.first_and_last_end():
        first_s, last_s = ((end - started).total_seconds() for end in ends)
        _say(f"  first answer {first_s:.1f} s after the start, the last {last_s:.1f} s")
    _say(f"  Ask the ledger:   DATABASE_URL=sqlite:///{_HERE}/ledger.db stepdown ledger sql {_QUESTION}")
    own = "stepdown worker & stepdown submit FILE --max-cost 1 --watch"
    _say(f"  Your own file:    . .venv/bin/activate; export ANTHROPIC_API_KEY=...; {own}")
    return agrees


def _costs(producer: Producer) -> dict[str, int | None]:
    """Read the cost of each attempt in nano-dollars; None if the cost is unknown."""
    at, cost = (list(ATTEMPTS.fields).index(name) for name in ("attempt_id", "cost_nano_usd"))
    return {row[at]: row[cost] for row in producer.store.spending.rows(ATTEMPTS)}


def _follow(what: str, batch: Batch) -> None:
    _say(f"  {what}: batch {batch.id}")
    watch(batch.progress, timeout_s=300, out=sys.stdout)


def _prompts(path: Path, form: ReadOptions) -> list[Prompt]:
    with opened_prompts(str(path), form) as file:
        return list(file.prompts())


def _wait_for_interrupt() -> None:
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        _say("")


CHAIN = Play(
    title="and 12 documents mapped and synthesized",
    script="demo.toml",
    faults="opus is down from job 60 to 110",
    work=_work,
)
AT_HALF_PRICE = Play(
    title="bought live and at half price",
    script="half_price.toml",
    faults="one message batch never ends",
    work=_work_at_half_price,
)
ELSEWHERE = Play(
    title="over two endpoints, one of which goes down",
    script=None,
    faults="the whole provider goes down",
    work=_work_elsewhere,
    has_cloud=True,
)
