"""Builds what a worker works with, once, at the entry point; everything below takes it as a parameter."""

import os
import random
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from time import monotonic, sleep
from typing import Any

from migrations.run import ensure_schema
from models.errors import Mistake, SettingsError
from models.ledger.database import WORKER, open_database
from models.ledger.ledger import Ledger
from models.money.price_book import PriceBook, context_window
from models.money.worst_case import worst_case_usd
from models.queue.embedded_redis import broker_url
from models.settings import Settings
from models.store import Books
from worker.admission.admission import Turnstile
from worker.admission.cache_warmup import OwnWarmth, Warming
from worker.admission.cache_warmup_shared import FleetWarmth
from worker.admission.forecast import Expected
from worker.admission.shared import Fleet, alone
from worker.events import RepliesReplayed, Tell
from worker.failing_batches import Streaks
from worker.fallback.caps import Caps
from worker.fallback.collaborators import Desk
from worker.intake import Gate
from worker.periodic.timer import every
from worker.provider.anthropic_client import AnthropicProvider
from worker.provider.capabilities import KnownFacts
from worker.recovery import failpoints
from worker.recovery.lease import InHand
from worker.recovery.rescue import RescuePolicy
from worker.recovery.spool import Spool
from worker.recovery.spooled_ledger import Spooled
from worker.run import Office

_REPLAY_EVERY_S = 2.0
_PRICES_EVERY_TICKS = 30  # half a minute, at the usual CLOCK_TICK_S
_REFRESH_EVERY_S = 1.0
_FACTS_EVERY_S = 5.0
_BAD = ("degraded", "unreliable")
_MB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """An office, and what its clocks need."""

    office: Office
    provider: AnthropicProvider
    books: Books
    settings: Settings
    rescue_policy: RescuePolicy


@contextmanager
def opened(settings: Settings, *, tell: Tell) -> Iterator[House]:
    """Open the ledger, the spool and the provider, and close them at the end of the block.

    What the spool holds is in the ledger before this yields. Leases are renewed and the spool is replayed by threads
    of their own. Raises SettingsError without an API key, LedgerError where the ledger is away or has another schema.
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
        yield _house(settings, Books.over(engine, worker=holder()), tell, until_end)


def _house(settings: Settings, books: Books, tell: Tell, until_end: ExitStack) -> House:
    prices = PriceBook(settings.price_overrides, books.prices.dated())
    now = datetime.now(UTC)
    books.ledger.record_prices([price for model in settings.chain.models if (price := prices.price(model, at=now))])
    books.health.judge_by(
        {name: getattr(settings, name) for name in ("health_min_jobs", *(f"health_{bad}_percent" for bad in _BAD))}
    )
    spool = Spool(settings.state_dir / "spool", holder=books.ledger.worker, tell=tell)
    until_end.callback(spool.close)
    replay = _replay(spool, books.ledger, tell)
    replay()
    provider = AnthropicProvider(
        api_key=settings.anthropic_api_key.get_secret_value() if settings.anthropic_api_key else "",
        base_url=settings.anthropic_base_url,
        connect_timeout_s=settings.connect_timeout_s,
    )
    until_end.callback(provider.close)
    in_hand = InHand(books.leases, lease_s=settings.lease_s)
    until_end.callback(every(settings.lease_s / 3, in_hand.beat, name="heartbeat", tell=tell))
    until_end.callback(every(_REPLAY_EVERY_S, replay, name="replay", tell=tell))
    known = _looked_up(settings, prices, books, provider, tell, until_end)
    gate = Gate(free_mb=lambda: _free_mb(settings), needed_mb=settings.min_free_mb, clock=monotonic, tell=tell)
    turnstile = _turnstile(settings, books.ledger.worker, tell, until_end)
    office = Office(
        desk=replace(
            _desk(settings, provider, Spooled(books.ledger, spool, tell), turnstile, prices, known, gate, tell),
            warming=_warming(settings, until_end),
        ),
        claims=books.ledger,
        outbox=books.outbox,
        orders=books.orders,
        in_hand=in_hand,
        gate=gate,
        streaks=Streaks(pause_after=settings.pause_batch_after),
    )
    policy = RescuePolicy(hold_above_usd=settings.hold_above_usd, worst_case_usd=office.desk.worst_case_usd)
    return House(office=office, provider=provider, books=books, settings=settings, rescue_policy=policy)


def _looked_up(
    settings: Settings, prices: PriceBook, books: Books, provider: AnthropicProvider, tell: Tell, until_end: ExitStack
) -> KnownFacts:
    """Have prices and what models take looked up from time to time."""
    look_up = partial(_look_up, prices, books)
    until_end.callback(every(_PRICES_EVERY_TICKS * settings.clock_tick_s, look_up, name="prices", tell=tell))
    known = KnownFacts(settings.chain.models, ask=provider.facts, window_of=context_window)
    until_end.callback(every(_FACTS_EVERY_S, known.ask_one, name="facts", tell=tell))
    return known


def _look_up(prices: PriceBook, books: Books) -> None:
    prices.take(books.prices.dated())  # where the ledger is away, those known last go on


def _worst_case_usd(prices: PriceBook, known: KnownFacts, model: str, params: Mapping[str, Any]) -> Decimal | None:
    # A price book may be older than a model's window: the larger of both bounds what a prompt may cost.
    window = context_window(model)
    larger = None if window is None else max(window, known.window_of(model) or 0)
    return worst_case_usd(model, params, prices, window=larger, at=datetime.now(UTC))


def _desk(
    settings: Settings,
    provider: AnthropicProvider,
    ledger: Spooled,
    turnstile: Turnstile,
    prices: PriceBook,
    known: KnownFacts,
    gate: Gate,
    tell: Tell,
) -> Desk:
    return Desk(
        chain=settings.chain,
        provider=provider,
        ledger=ledger,
        prices=prices,
        caps=_caps(settings),
        worst_case_usd=partial(_worst_case_usd, prices, known),
        turnstile=turnstile,
        expected=Expected(),
        tell=tell,
        now=lambda: datetime.now(UTC),
        sleep=sleep,
        draw=random.random,
        window_of=known.window_of,
        facts_of=known,
        climbs=settings.climbs,
        patience_s=settings.patience_s,
        key_pause_s=settings.key_pause_s,
        call_timeout_s=settings.call_timeout_s,
        is_stopping=gate.is_stopping,
    )


def _warming(settings: Settings, until_end: ExitStack) -> Warming | None:
    if settings.prompt_cache == "off":
        return None
    url = broker_url(settings)
    if url is None:
        return Warming(warmth=OwnWarmth(monotonic), clock=monotonic, sleep=sleep)
    fleet = FleetWarmth(url, monotonic, namespace=settings.namespace)
    until_end.callback(fleet.close)
    return Warming(warmth=fleet, clock=monotonic, sleep=sleep)


def _turnstile(settings: Settings, worker: str, tell: Tell, until_end: ExitStack) -> Turnstile:
    tuning = {"probe_every_s": settings.probe_every_s, "key_pause_s": settings.key_pause_s}
    url = broker_url(settings)
    if url is None:
        return alone(settings.namespace, **tuning)
    fleet = Fleet(url, namespace=settings.namespace, worker=worker, tell=tell, **tuning)
    until_end.callback(fleet.close)
    until_end.callback(every(_REFRESH_EVERY_S, fleet.refresh, name="turnstile", tell=tell))
    return fleet


def _caps(settings: Settings) -> Caps:
    return Caps(
        day_usd=settings.day_cap_usd,
        by_task=settings.task_caps,
        by_tag=settings.tag_caps,
        tree_usd=settings.tree_cap_usd,
        waits=settings.over_cap == "wait",
    )


def holder() -> str:
    """Name this process in leases, attempts and spool files: host, process id, and a word that no other has.

    In containers the same process id comes back with every start.
    """
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"


def _replay(spool: Spool, ledger: Ledger, tell: Tell) -> Callable[[], None]:
    def replay() -> None:
        if count := spool.replay(ledger.replay):
            tell(RepliesReplayed(count=count))

    return replay


def _free_mb(settings: Settings) -> int:
    try:
        return shutil.disk_usage(settings.state_dir).free // _MB
    except OSError:  # a folder that is gone has no room; the pulse tells why
        return -1
