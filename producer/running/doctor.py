"""Says whether this machine is ready, and for each thing that is not, what would cure it."""

import re
import shutil
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from migrations.run import revisions
from models.database.engine import open_database
from models.endpoints import Endpoint
from models.errors import StepdownError
from models.queue.broker import Broker
from models.queue.embedded_redis import broker_url
from models.queue.throttles import ThrottleReader
from models.reports.health import Health
from models.rung_name import is_usual
from models.settings import Settings
from producer.costs.anthropic_http import api_of
from producer.costs.api_check import state_of
from producer.costs.price_check import Wrong, known_to, wrong_prices
from producer.output.format import rate
from producer.output.wait_lines import throttle_line
from producer.running.claims import Finding, workers

_CONNECT_TIMEOUT_S = 3
_MB = 1024 * 1024
_REASON = re.compile(r'"reason": "([^"]*)"')


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at key, prices, ledger, health, disk, spool, broker, workers, throttles and API, as a job needs them."""
    yield _key(settings)
    yield from _prices(settings)
    ledger = _finding("ledger", lambda: _ledger(settings))
    yield ledger
    if ledger.verdict == "ok":
        yield _finding("health", lambda: _health(settings))
    yield _disk(settings)
    yield from _spool(settings.state_dir / "spool")
    yield from _broker(settings)
    yield _finding("api", lambda: _api(settings))
    for name in settings.chain.rungs_by_endpoint:
        if (endpoint := settings.endpoints.get(name)) is not None:
            yield _finding("endpoint", partial(_endpoint, endpoint))


def _key(settings: Settings) -> Finding:
    if settings.anthropic_api_key is None:
        return Finding(what="key", verdict="fail", message="ANTHROPIC_API_KEY is not set: put it in .env")
    return Finding(what="key", verdict="ok", message="ANTHROPIC_API_KEY is set")


def _prices(settings: Settings) -> Iterator[Finding]:
    now = datetime.now(UTC)
    known = known_to(settings, now=now)  # a ledger that is away has a finding of its own
    book, wrong = settings.price_book(known.dated), list(wrong_prices(settings, known, now=now))
    named = {one.model for one in wrong}
    for model in settings.chain.models:
        price = book.price(model, at=now)
        if price is not None and model not in named:
            rates = f"{rate(price.rates.input)} in, {rate(price.rates.output)} out"
            message = f"{model} {rates} per million tokens ({price.source})"
            yield Finding(what="price", verdict="ok", message=message)
        yield from (_wrong_price(one) for one in wrong if one.model == model)
    yield from (_wrong_price(one) for one in wrong if one.model not in settings.chain.models)


def _wrong_price(one: Wrong) -> Finding:
    return Finding(what="price", verdict="fail" if one.kind == "unpriced" else "warn", message=one.message)


def _ledger(settings: Settings) -> Finding:
    engine = open_database(settings.database_url.get_secret_value())
    where = engine.url.render_as_string(hide_password=True)
    try:
        current, newest = revisions(engine)
    finally:
        engine.dispose()
    if current == newest:
        return Finding(what="ledger", verdict="ok", message=f"{where} at revision {current}")
    if current is None and where.startswith("sqlite"):
        return Finding(what="ledger", verdict="ok", message=f"{where} is new; the first command fills it")
    fix = f"{where} is at revision {current or 'none'}, this version needs {newest}: run `stepdown db upgrade`"
    return Finding(what="ledger", verdict="fail", message=fix)


def _health(settings: Settings) -> Finding:
    engine = open_database(settings.database_url.get_secret_value())
    try:
        verdicts = Health(engine).today() if revisions(engine)[0] else []
    finally:
        engine.dispose()
    if alarms := [verdict.in_words() for verdict in verdicts if verdict.is_alarming]:
        message = f"{'; '.join(alarms)}: `stepdown ledger report --by model,outcome` tells why"
        return Finding(what="health", verdict="warn", message=message)
    jobs = sum(verdict.jobs for verdict in verdicts)
    message = (
        f"{jobs} jobs succeeded today; the provider failed few of them where they started"
        if jobs
        else "no job succeeded today"
    )
    return Finding(what="health", verdict="ok", message=message)


def _disk(settings: Settings) -> Finding:
    there = next(folder for folder in (settings.state_dir, *settings.state_dir.absolute().parents) if folder.exists())
    free_mb = shutil.disk_usage(there).free // _MB
    if free_mb < settings.min_free_mb:
        message = (
            f"{free_mb} MB are free in {there}, MIN_FREE_MB is {settings.min_free_mb}: a worker here claims no job"
        )
        return Finding(what="disk", verdict="fail", message=message)
    return Finding(what="disk", verdict="ok", message=f"{free_mb} MB are free for replies in {there}")


def _spool(folder: Path) -> Iterator[Finding]:
    """Report each spool file of a lost worker whose replies are not in the ledger."""
    for path in sorted((*folder.glob("*.jsonl"), *folder.glob("*.damaged"))):
        try:
            message = _left_in(path)
        except FileNotFoundError:  # a worker was done with it
            continue
        except OSError as error:
            message = f"{path} cannot be read ({error.strerror}): let the worker's user read it, or move it away"
        if message is not None:
            yield Finding(what="spool", verdict="warn", message=message)


def _left_in(path: Path) -> str | None:
    if path.exists() and not path.is_file():
        return f"{path} is no file, and no worker reads it: move it away"
    with path.open(encoding="utf-8", errors="replace") as file:
        return _set_aside(path, file.read()) if path.suffix == ".damaged" else None


def _set_aside(path: Path, text: str) -> str:
    reasons = _REASON.findall(text)
    lines = f"{path}: {len(text.splitlines())} damaged lines of a lost worker's replies are set aside"
    because = f" ({reasons[0]})" if reasons else ""
    return f"{lines}{because}; their jobs are held or bought again: see `stepdown show --held`, then move the file away"


def _broker(settings: Settings) -> Iterator[Finding]:
    url = broker_url(settings)
    if url is None:
        fix = "REDIS_URL is not set and none runs here; `stepdown worker` will bring its own"
        yield Finding(what="broker", verdict="warn", message=fix)
        yield workers(None)
        return
    broker = Broker(url)
    try:
        facts = broker.facts()
    except StepdownError as error:
        yield Finding(what="broker", verdict="fail", message=str(error))
        return
    finally:
        broker.close()
    yield Finding(what="broker", verdict="ok", message=facts["version"])
    yield from _judged(facts)
    yield _finding("worker", lambda: workers(url))
    yield from _throttles(settings, url)


def _judged(facts: dict[str, str]) -> Iterator[Finding]:
    policy = facts["maxmemory-policy"]
    if policy == "noeviction":
        yield Finding(what="broker", verdict="ok", message="maxmemory-policy is noeviction")
    else:
        fix = (
            f"maxmemory-policy is {policy}: queues would lose messages silently; CONFIG SET maxmemory-policy noeviction"
        )
        yield Finding(what="broker", verdict="fail", message=fix)
    if facts["appendonly"] == "yes":
        yield Finding(what="broker", verdict="ok", message="appendonly is on")
    else:
        fix = "appendonly is off: a restart loses all messages; a worker sends them again; CONFIG SET appendonly yes"
        yield Finding(what="broker", verdict="warn", message=fix)
    if facts["open"] == "no":
        yield Finding(what="broker", verdict="ok", message="it asks for a password")
    else:
        fix = "it needs no password: whoever reaches it can stop workers; set requirepass, and put it in REDIS_URL"
        yield Finding(what="broker", verdict="warn", message=fix)


def _throttles(settings: Settings, url: str) -> Iterator[Finding]:
    reader = ThrottleReader(url, namespace=settings.namespace, chain=settings.chain)
    try:
        throttles = reader.read()
    except StepdownError as error:
        yield Finding(what="throttle", verdict="fail", message=str(error))
        return
    for throttle in throttles:
        yield Finding(what="throttle", verdict="warn", message=throttle_line(throttle))
    if not throttles:
        yield Finding(what="throttle", verdict="ok", message="no model is out of rotation, and no limit is used up")


def _api(settings: Settings) -> Finding:
    place, why_not = _reached(settings.anthropic_base_url)
    if why_not is not None:
        message = f"{place} cannot be reached ({why_not}): look at ANTHROPIC_BASE_URL and the network"
        return Finding(what="api", verdict="warn", message=message)
    if settings.anthropic_api_key is None:
        return Finding(what="api", verdict="ok", message=f"{place} can be reached")
    state = state_of(api_of(settings), tuple(filter(is_usual, settings.chain.models)))
    return Finding(what="api", verdict=state.verdict, message=state.message)


def _endpoint(endpoint: Endpoint) -> Finding:
    """Return whether a connection opens. An open connection proves neither the key nor the model."""
    if endpoint.base_url is None:
        message = f"{endpoint.name}: the address of {endpoint.kind} is the SDK's; `stepdown doctor --ask` calls it"
        return Finding(what="endpoint", verdict="ok", message=message)
    place, why_not = _reached(endpoint.base_url)
    if why_not is None:
        return Finding(what="endpoint", verdict="ok", message=f"{endpoint.name}: {place} can be reached")
    message = f"{endpoint.name}: {place} cannot be reached ({why_not}): look at base_url in ENDPOINTS_FILE"
    return Finding(what="endpoint", verdict="warn", message=message)


def _reached(address: str) -> tuple[str, str | None]:
    """Return the host and port of an address, and the reason why no connection opens there."""
    url = urlsplit(address)
    host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    try:
        socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT_S).close()
    except OSError as error:
        return f"{host}:{port}", error.strerror or str(error)
    return f"{host}:{port}", None


def _finding(what: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except StepdownError as error:
        return Finding(what=what, verdict="fail", message=str(error))
