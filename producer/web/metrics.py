"""/healthz and /metrics: the health of ledger and broker, and today's figures for Prometheus."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from models.errors import StepdownError
from models.outcome import FINAL_STATES, HALF_PRICE, IN_BATCH, OPEN_STATES
from models.queue.broker import Broker
from models.queue.embedded_redis import required_broker_url
from models.settings import Settings
from models.store import Store
from producer.web.http.context import caller_of, settings_of, store_of

_KEPT_S = 2.0  # a request within this time gets the result of the last look
_BROKER_S = 1.0
_TEXT = "text/plain; version=0.0.4; charset=utf-8"


def healthz(request: Request) -> Response:
    """Answer 200 if ledger and broker answer, else 503 with the name of the absent part."""
    state = request.app.state
    looked_at, found = getattr(state, "looked", (0.0, {}))
    if time.monotonic() - looked_at > _KEPT_S or not found:
        served = store_of(request).served_batches
        found = {"ledger": _asked(served.today), "broker": _asked(lambda: _ask_broker(settings_of(request)))}
        state.looked = (time.monotonic(), found)
    return JSONResponse(found, status_code=200 if set(found.values()) == {"ok"} else 503)


def metrics(request: Request) -> Response:
    """Return open jobs by state, and this UTC day's ended jobs, attempts and cost, in Prometheus' format.

    An operator reads the fleet's figures. Any other caller reads its own.
    """
    caller = caller_of(request)
    scope = None if caller.operator else caller.key()
    lines = "".join(f"{line}\n" for line in _lines(store_of(request), scope))
    return PlainTextResponse(lines, headers={"content-type": _TEXT})


def _asked(ask: Any) -> str:
    try:
        ask()
    except StepdownError:  # the error names our addresses
        return "does not answer"
    return "ok"


def _ask_broker(settings: Settings) -> None:
    url = required_broker_url(settings)
    with closing(Broker(url, timeout_s=_BROKER_S)) as broker:
        broker.depth(None)


def _lines(store: Store, scope: str | None) -> Iterator[str]:
    today = store.served_batches.today()
    still, ended = (
        (store.health.open_jobs(), store.health.ended_today()) if scope is None else store.served_batches.jobs(scope)
    )
    yield from _jobs("stepdown_jobs", "Open jobs by state; held: for a person.", (*OPEN_STATES, "held"), still)
    if scope is None:
        lane = store.health.at_half_price()
        yield from _head("stepdown_jobs_half_price", "Waiting jobs at half price: for a place, and under way.")
        yield f'stepdown_jobs_half_price{{stage="to_pack"}} {lane.get(HALF_PRICE, 0)}'
        yield f'stepdown_jobs_half_price{{stage="under_way"}} {lane.get(IN_BATCH, 0)}'
    yield from _jobs("stepdown_jobs_ended_today", "Jobs that ended this UTC day, by state.", FINAL_STATES, ended)
    sums = store.spending.sums(["model", "outcome"], since=today, until=today, scope=scope)
    yield from _head("stepdown_attempts_today", "Attempts opened this UTC day, by model and outcome.")
    for (model, outcome), details in sorted(sums.items(), key=str):
        yield f'stepdown_attempts_today{{model="{_escaped(model)}",outcome="{_escaped(outcome)}"}} {details.attempts}'
    yield from _head("stepdown_cost_usd_today", "Known cost of this UTC day's attempts, by model.")
    costs = defaultdict[object, Decimal](Decimal)
    for (model, _), details in sums.items():
        costs[model] += details.cost_usd
    for model, cost_usd in sorted(costs.items(), key=str):
        yield f'stepdown_cost_usd_today{{model="{_escaped(model)}"}} {cost_usd:f}'
    yield from _head("stepdown_unknown_costs_today", "Attempts of this UTC day whose cost is not in it.")
    yield f"stepdown_unknown_costs_today {sum(details.unknown_costs for details in sums.values())}"


def _jobs(name: str, help_text: str, states: Sequence[str], counts: Mapping[str, int]) -> Iterator[str]:
    yield from _head(name, help_text)
    for state in states:
        yield f'{name}{{state="{state}"}} {counts.get(state, 0)}'


def _head(name: str, help_text: str) -> list[str]:
    return [f"# HELP {name} {help_text}", f"# TYPE {name} gauge"]


def _escaped(value: object) -> str:
    return str(value).replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
