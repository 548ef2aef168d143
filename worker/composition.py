"""Builds one Worker with all collaborators, once, at the entry point. All code below takes them as parameters."""

import asyncio
import os
import random
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from time import monotonic
from typing import Any

from migrations.run import ensure_schema
from models.database.engine import WORKER, open_database
from models.endpoints import capabilities_at
from models.errors import Mistake, SettingsError
from models.ledger.ledger import Ledger
from models.money.price_book import PriceBook, context_window
from models.money.worst_case import worst_case_usd
from models.queue.embedded_redis import broker_url
from models.rung_name import endpoint_of
from models.settings import Settings
from models.store import Store
from worker.admission.admission import BlockingAdmission
from worker.admission.awaited import AwaitedAdmission
from worker.admission.cache_warmup import CacheState, CacheWarmup
from worker.admission.cache_warmup_shared import SharedCacheState
from worker.admission.forecast import Forecast
from worker.admission.lua_script import Tuning
from worker.admission.shared import SharedAdmission, in_process_admission
from worker.endpoints.by_endpoint import ByEndpoint
from worker.endpoints.sdk_address import address_of, usual_address
from worker.events import RepliesReplayed, Report
from worker.failing_batches import FailingBatches
from worker.fallback.caps import Caps
from worker.fallback.collaborators import Listener, nobody
from worker.half_price.lane import Lane
from worker.intake import Intake
from worker.loop import LoopThread
from worker.periodic.timer import run_every
from worker.provider.anthropic_client import AnthropicProvider
from worker.provider.capabilities import LearnedCapabilities
from worker.provider.message_batches import MessageBatchCalls
from worker.recovery import failpoints
from worker.recovery.heartbeat import Heartbeat
from worker.recovery.spool import Spool
from worker.recovery.spooled_ledger import SpooledLedger
from worker.run import Worker

_REPLAY_EVERY_S = 2.0
_PRICES_EVERY_TICKS = 30  # half a minute, at the usual CLOCK_TICK_S
_REFRESH_EVERY_S = 1.0
_FACTS_EVERY_S = 5.0
_BAD = ("degraded", "unreliable")
_MB = 1024 * 1024


@contextmanager
def open_worker(settings: Settings, *, report: Report, listener: Listener = nobody) -> Iterator[Worker]:
    """Open the ledger, the spool and the provider, and close them at the end of the block.

    The replies of the spool are in the ledger before this yields. Threads renew leases and replay the spool. Raises
    SettingsError without an API key; LedgerError if the ledger is away or has another schema.
    """
    if settings.anthropic_api_key is None:
        fix = "set it (in .env, or ANTHROPIC_API_KEY_FILE); for the simulator any word will do"
        raise SettingsError([Mistake(variable="ANTHROPIC_API_KEY", value="(not set)", fix=fix)])
    with ExitStack() as until_end:
        url = settings.database_url.get_secret_value()
        engine = open_database(url, connections=settings.database_connections, kind=WORKER)
        until_end.callback(engine.dispose)
        ensure_schema(engine)
        failpoints.arm(settings.stepdown_failpoint)
        worker = _worker(settings, Store(engine, worker=worker_name()), report, until_end)
        yield replace(worker, listener=listener)


def _worker(settings: Settings, store: Store, report: Report, until_end: ExitStack) -> Worker:
    prices = _prices(settings, store)
    ledger = _spooled(settings, store.ledger, report, until_end)
    loop = LoopThread()
    provider = loop.run(_provider(settings))
    until_end.callback(loop.close, provider.close)
    heartbeat = Heartbeat(partial(store.leases.renew, lease_s=settings.lease_s), lease_s=settings.lease_s)
    until_end.callback(run_every(settings.lease_s / 3, heartbeat.beat, name="heartbeat", report=report))
    capabilities = _looked_up(settings, prices, store, lambda model: loop.run(provider.facts(model)), report, until_end)
    intake = Intake(free_mb=lambda: _free_mb(settings), needed_mb=settings.min_free_mb, clock=monotonic, report=report)
    return Worker(
        settings=settings,
        store=store,
        loop=loop,
        chain=settings.chain,
        caps=_caps(settings),
        climbs=settings.climbs,
        patience_s=settings.patience_s,
        key_pause_s=settings.key_pause_s,
        on_key_trouble=settings.on_key_trouble,
        call_timeout_s=settings.call_timeout_s,
        provider=provider,
        ledger=ledger,
        admission=AwaitedAdmission(_admission(settings, store.ledger.worker, report, until_end)),
        expected=Forecast(),
        prices=prices,
        worst_case_usd=partial(_worst_case_usd, prices, capabilities),
        window_of=capabilities.window_of,
        capabilities_of=capabilities,
        warming=_warming(settings, until_end),
        heartbeat=heartbeat,
        intake=intake,
        is_stopping=intake.is_stopping,
        failing_batches=FailingBatches(pause_after=settings.pause_batch_after),
        report=report,
        now=lambda: datetime.now(UTC),
        sleep=asyncio.sleep,
        in_thread=asyncio.to_thread,
        draw=random.random,
    )


def open_lane(settings: Settings, worker: Worker) -> Lane:
    """Return the collaborators of message batches, over those of a worker."""
    return Lane(
        worker=worker,
        batches=worker.store.message_batches,
        history=worker.store.batch_history,
        calls=MessageBatchCalls(worker.provider.usual),
        failing_batches=worker.failing_batches,
        pause=worker.store.job_actions.pause,
        namespace=settings.namespace,
        folder=settings.state_dir / "message-batches",
        usual_s=settings.half_price_usual_s,
        grace_s=settings.half_price_grace_s,
        live_s=settings.half_price_live_s,
        poll_s=settings.half_price_poll_s,
        lost_s=settings.half_price_lost_s,
        lease_s=settings.lease_s,
    )


def _prices(settings: Settings, store: Store) -> PriceBook:
    """Open the price book, and record the chain's prices and the bounds of an unreliable primary."""
    prices = settings.price_book(store.price_list.dated())
    now = datetime.now(UTC)
    store.ledger.record_prices([price for model in settings.chain.models if (price := prices.price(model, at=now))])
    store.health.judge_by(
        {name: getattr(settings, name) for name in ("health_min_jobs", *(f"health_{bad}_percent" for bad in _BAD))}
    )
    return prices


def _spooled(settings: Settings, ledger: Ledger, report: Report, until_end: ExitStack) -> SpooledLedger:
    """Put the spool before the ledger, and have the spool replayed now and from time to time."""
    spool = Spool(settings.state_dir / "spool", holder=ledger.worker, report=report)
    until_end.callback(spool.close)

    def replay() -> None:
        if count := spool.replay(ledger.replay):
            report(RepliesReplayed(count=count))

    replay()
    until_end.callback(run_every(_REPLAY_EVERY_S, replay, name="replay", report=report))
    return SpooledLedger(ledger, spool, report)


async def _provider(settings: Settings) -> ByEndpoint:
    key = settings.anthropic_api_key.get_secret_value() if settings.anthropic_api_key else ""
    connect_s, used = settings.connect_timeout_s, {endpoint_of(rung) for rung in settings.chain.models}
    usual = AnthropicProvider(usual_address(key, settings.anthropic_base_url), connect_timeout_s=connect_s)
    addresses = {name: address_of(each) for name, each in settings.endpoints.items() if name in used}
    others = {name: AnthropicProvider(address, connect_timeout_s=connect_s) for name, address in addresses.items()}
    return ByEndpoint(usual, others, settings.endpoints)


def _looked_up(
    settings: Settings,
    prices: PriceBook,
    store: Store,
    facts: Callable[[str], Mapping[str, Any] | None],
    report: Report,
    until_end: ExitStack,
) -> LearnedCapabilities:
    """Have prices and the capabilities of models looked up from time to time."""

    def look_up() -> None:
        prices.take(store.price_list.dated())  # without the ledger, the last known prices stay

    until_end.callback(run_every(_PRICES_EVERY_TICKS * settings.clock_tick_s, look_up, name="prices", report=report))
    known = LearnedCapabilities(
        settings.chain.models,
        ask=facts,
        window_of=context_window,
        known=partial(capabilities_at, endpoints=settings.endpoints),
    )
    until_end.callback(run_every(_FACTS_EVERY_S, known.ask_one, name="facts", report=report))
    return known


def _worst_case_usd(
    prices: PriceBook,
    known: LearnedCapabilities,
    model: str,
    params: Mapping[str, Any],
    *,
    service_tier: str | None = None,
) -> Decimal | None:
    # A price book may be older than a model's window: the larger of both bounds the cost of a prompt.
    window = context_window(model)
    larger = None if window is None else max(window, known.window_of(model) or 0)
    return worst_case_usd(model, params, prices, window=larger, at=datetime.now(UTC), service_tier=service_tier)


def _warming(settings: Settings, until_end: ExitStack) -> CacheWarmup | None:
    if settings.prompt_cache == "off":
        return None
    url = broker_url(settings)
    if url is None:
        return CacheWarmup(
            warmth=CacheState(monotonic), clock=monotonic, sleep=asyncio.sleep, in_thread=asyncio.to_thread
        )
    fleet = SharedCacheState(url, monotonic, namespace=settings.namespace)
    until_end.callback(fleet.close)
    return CacheWarmup(warmth=fleet, clock=monotonic, sleep=asyncio.sleep, in_thread=asyncio.to_thread)


def _admission(settings: Settings, worker: str, report: Report, until_end: ExitStack) -> BlockingAdmission:
    tuning = Tuning(
        probe_every_s=settings.probe_every_s,
        key_pause_s=settings.key_pause_s,
        requests_per_minute=settings.chain.requests_per_minute,
        rungs=settings.chain.rungs_by_endpoint,
    )
    url = broker_url(settings)
    if url is None:
        return in_process_admission(settings.namespace, tuning)
    fleet = SharedAdmission(url, tuning, namespace=settings.namespace, worker=worker, report=report)
    until_end.callback(fleet.close)
    until_end.callback(run_every(_REFRESH_EVERY_S, fleet.refresh, name="admission", report=report))
    return fleet


def _caps(settings: Settings) -> Caps:
    return Caps(
        day_usd=settings.day_cap_usd,
        by_task=settings.task_caps,
        by_tag=settings.tag_caps,
        tree_usd=settings.tree_cap_usd,
        waits=settings.over_cap == "wait",
    )


def worker_name() -> str:
    """Return the name of this process in leases, attempts and spool files: host, process id, and a random word.

    In containers the same process id comes back with each start.
    """
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"


def _free_mb(settings: Settings) -> int:
    try:
        return shutil.disk_usage(settings.state_dir).free // _MB
    except OSError:  # a folder that is gone has no room; the liveness check logs why
        return -1
