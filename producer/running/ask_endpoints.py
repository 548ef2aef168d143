"""`doctor --ask`: one smallest message through each endpoint of the chain. An open connection proves nothing."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from models.database.engine import open_database
from models.reports.jobs import Reports
from models.rung_name import endpoint_of
from models.settings import Settings, child_environment
from producer.output.format import money
from producer.running.claims import Finding
from producer.running.start import direct_command

_PROMPT = "Say yes."
_WITHIN_S = 150.0
_OF_ONE_RUNG = dict.fromkeys(("TASK_STARTS", "LIMIT_GROUPS", "REQUESTS_PER_MINUTE", "TASKS_FILE"), "")


def ask_endpoints(settings: Settings) -> Iterator[Finding]:
    """Ask the lowest rung of each endpoint, which costs a few tokens. Each call is a row of the ledger."""
    rungs = {endpoint_of(rung): rung for rung in settings.chain.models}.values()
    with ThreadPoolExecutor(len(rungs)) as pool:
        yield from pool.map(partial(_ask, settings), rungs)


def _ask(settings: Settings, rung: str) -> Finding:
    environment = child_environment({**_OF_ONE_RUNG, "MODEL_CHAIN": rung})
    try:
        asked = subprocess.run(
            direct_command(_PROMPT), env=environment, capture_output=True, text=True, timeout=_WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired:
        return Finding(what="ask", verdict="fail", message=f"{rung}: no answer within {_WITHIN_S:g} s")
    if asked.returncode != 0:
        *_, last = ["the call ended without a word", *asked.stderr.strip().splitlines()]
        return Finding(what="ask", verdict="fail", message=f"{rung}: {last}")
    return _answered(settings, rung, asked.stdout)


def _answered(settings: Settings, rung: str, job_id: str) -> Finding:
    engine = open_database(settings.database_url.get_secret_value())
    try:
        *_, attempt = Reports(engine).attempts(job_id)
    finally:
        engine.dispose()
    cost = attempt["cost_nano_usd"]
    facts = [
        f"{rung}: {attempt['served_model']} answered in {attempt['latency_ms']} ms",
        f"usage {', '.join(sorted(attempt['usage'] or ())) or 'none'}",
        f"request id {attempt['request_id'] or 'none'}",
        "cost unknown" if cost is None else f"cost {money(cost)}",
    ]
    return Finding(what="ask", verdict="ok" if cost is not None else "warn", message="; ".join(facts))
