"""The entry point of `celery -A worker`: the app, and the parts that a worker opens and closes."""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from threading import Timer
from time import monotonic
from typing import Any

from celery import Celery, signals
from celery.worker import state
from celery.worker.consumer import Consumer as BaseConsumer

from models.errors import SOME_FAILED, USAGE, LedgerGoneError, StepdownError, exit_code
from models.job.values import Claim, Opening
from models.queue.broker import Broker
from models.queue.celery_app import celery_app
from models.queue.embedded_redis import required_broker_url
from models.queue.end_signals import EndSignals
from models.queue.live_events import ALIVE_EVERY_S, LiveEvents
from models.queue.liveness import LivenessProofs
from models.settings import Settings, load_settings
from worker import logs, tasks
from worker.admission.capacity import free_requests
from worker.composition import open_lane, open_worker
from worker.events import AttemptClosed, Event, JobEnded, WorkerEnds
from worker.fallback.longer_answer import may_be_replaced
from worker.half_price.lane import Lane
from worker.half_price.pack import Packer
from worker.periodic.dispatcher import Dispatcher
from worker.periodic.half_price_timer import HalfPriceTimer
from worker.periodic.health_alarm import HealthAlarm
from worker.periodic.rescuer import Rescuer
from worker.periodic.rollup import roll_up
from worker.periodic.timer import run_every
from worker.provider.stream import OnEvent
from worker.recovery.liveness import Liveness
from worker.recovery.rescue import RescuePolicy
from worker.run import Worker
from worker.transport import loop_pool, redis_transport, urgent_lane

# Threads that mostly wait need few forced switches; each costs the CPU a round of wake-ups.
_SWITCH_INTERVAL_S = 0.02
_FLUSH_EVENTS_S = 0.2
_RECONNECT_S = 1.0
_LOOK_FOR_STRAYS_S = 3.0
_LOOK_AT_LEDGER_S = 1.0
_LIVENESS_S = 2.0
_LISTENS_S = 5.0  # without a turn of the loop for so long, Celery receives no more


def _enter() -> tuple[Settings, str]:
    try:
        settings = load_settings()
        return settings, required_broker_url(settings)
    except StepdownError as error:
        raise _ended(error) from None


def _ended(error: Exception) -> SystemExit:
    # Celery logs an error of a signal, and goes on: every message would be discarded as of an unknown task.
    mine = isinstance(error, StepdownError)
    sys.stderr.write(f"stepdown worker: {error if mine else f'{type(error).__name__}: {error}'}\n")
    return SystemExit(exit_code(error))


class Consumer(BaseConsumer):
    """Celery's consumer, which publishes events for Flower a few times a second instead of three times a task."""

    turned_at = -_LISTENS_S  # the time of the loop's last turn while connected

    def ensure_connected(self, conn: Any) -> Any:
        """Look for an absent broker every second; Celery's pauses grow to half a minute."""
        conn.ensure_connection = partial(
            conn.ensure_connection, interval_start=_RECONNECT_S, interval_step=0, interval_max=_RECONNECT_S
        )
        return super().ensure_connected(conn)

    def register_with_event_loop(self, hub: Any) -> None:
        """Flush in the loop's own thread, apart from the tasks' threads."""
        super().register_with_event_loop(hub)
        hub.call_repeatedly(_FLUSH_EVENTS_S, self._turn)

    def _turn(self) -> None:
        Consumer.turned_at = monotonic()
        self._flush_events()

    def on_send_event_buffered(self) -> None:
        """Leave the event in the buffer, which flushes itself when full."""

    def stop(self) -> None:
        """Publish the events in the buffer, then stop."""
        self._flush_events()
        super().stop()


_settings, _url = _enter()
_broker, _until_shutdown = Broker(_url), ExitStack()
app: Celery = celery_app(_url, rungs=len(_settings.chain.models))
app.conf.worker_consumer = Consumer
app.steps["consumer"].add(urgent_lane.UrgentLane)
app.conf.worker_pool = loop_pool.NAME
loop_pool.LoopPool.urgent_places = _settings.urgent_concurrency
redis_transport.install(loop_pool.LoopPool.room)


@signals.setup_logging.connect
def _set_up_logging(**_signal: Any) -> None:
    logs.configure()


@signals.celeryd_init.connect
def _refuse_other_pools(options: dict[str, Any], **_signal: Any) -> None:
    # Any other pool would wait for the end of each task. Celery passes the name or the class of the pool.
    if options.get("pool") not in {None, "", loop_pool.NAME, loop_pool.LoopPool}:
        sys.stderr.write("stepdown worker: it runs on a pool of its own: leave -P out\n")
        raise SystemExit(USAGE)


@signals.worker_init.connect
def _open(**_signal: Any) -> None:
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    try:
        _broker.knock()
        ends, live = EndSignals(_url), LiveEvents(_url)
        for sender in (ends, live):
            _until_shutdown.callback(sender.close)
        opening = open_worker(_settings, report=partial(_report, ends, live), listener=partial(_listener, live))
        worker = _until_shutdown.enter_context(opening)
        _until_shutdown.callback(worker.loop.submit(live.listen()).cancel)  # a task without a reference is collected
        _start("live events", live.beat, ALIVE_EVERY_S)
        lane = open_lane(_settings, worker)
        tasks.register(app, worker, lane)
        loop_pool.LoopPool.loop = worker.loop
        redis_transport.install(lambda **lane: loop_pool.LoopPool.room(**lane) if worker.intake.is_fit() else 0)
        _start_timers(worker, lane)
        _start_liveness(worker)
        signals.worker_shutting_down.connect(lambda **_signal: _drain(worker), weak=False)
    except Exception as error:  # any error: a worker with a part missing must take no job
        raise _ended(error) from error


def _report(ends: EndSignals, live: LiveEvents, event: Event) -> None:
    """Log an event. The end of an urgent job is signalled, too, for the waiting caller."""
    logs.log(event)
    if isinstance(event, AttemptClosed):
        live.end(event.opening.id, event.closing.outcome)
    if isinstance(event, JobEnded) and event.claim.is_urgent and event.ending.due_in_s is None:
        live.forget(event.claim.job_id)
        ends.send(str(event.claim.batch_id))


def _listener(live: LiveEvents, claim: Claim, opening: Opening) -> OnEvent | None:
    """Return the function that sends the events of an attempt. Returns None if no caller may read the stream."""
    if may_be_replaced(claim, _settings.climbs):
        return None
    return live.begin(claim.job_id, opening.id, depth=opening.fallback_depth)


def _start_timers(worker: Worker, lane: Lane) -> None:
    dispatcher = Dispatcher(
        queues=_broker,
        outbox=worker.store.outbox,
        steps=worker.store.steps,
        free=partial(free_requests, _settings.chain, worker.admission.capacity),
        holder=worker.store.ledger.worker,
        rungs=len(_settings.chain.models),
        window=_settings.queue_window,
        tick_s=_settings.clock_tick_s,
        live_s=_settings.half_price_live_s,
        clock=monotonic,
        report=logs.log,
    )
    rescuer = Rescuer(
        strays=worker.store.leases,
        policy=RescuePolicy(hold_above_usd=_settings.hold_above_usd, worst_case_usd=worker.worst_case_usd),
        lease_s=_settings.lease_s,
        every_s=min(_LOOK_FOR_STRAYS_S, _settings.lease_s / 3),
        clock=monotonic,
        report=logs.log,
    )
    half_price = HalfPriceTimer(
        queues=_broker,
        lane=lane,
        packer=Packer(lane=lane, clock=monotonic),
        holder=worker.store.ledger.worker,
        tick_s=_settings.clock_tick_s,
    )
    alarm = HealthAlarm(today=worker.store.health.today, report=logs.log)
    _start("dispatcher", dispatcher.tick, dispatcher.tick_s)
    _start("rescuer", rescuer.look, rescuer.every_s)
    _start("half price", half_price.tick, half_price.tick_s)
    _start("health alarm", alarm.look, _settings.review_every_s)
    _start("rollup", partial(roll_up, worker.store.rollup.roll, logs.log), _settings.review_every_s)
    _start("lost batches", worker.store.ledger.forget_lost, _settings.review_every_s)
    _start("ledger", partial(_end_without_ledger, worker), _LOOK_AT_LEDGER_S)


def _start(name: str, work: Callable[[], object], every_s: float) -> None:
    """Run work periodically until the worker ends."""
    _until_shutdown.callback(run_every(every_s, work, name=name, report=logs.log))


def _end_without_ledger(worker: Worker) -> None:
    """Have Celery end this worker once the ledger's file is gone: the worker would only drop messages."""
    try:
        worker.store.ledger.look()
    except LedgerGoneError as error:
        if state.should_stop is None:
            logs.log(WorkerEnds(message=str(error)))
            _drain(worker)
            state.should_stop = exit_code(error)


def _start_liveness(worker: Worker) -> None:
    name = worker.store.ledger.worker
    proofs = _until_shutdown.enter_context(LivenessProofs(_url, _settings.state_dir, worker=name))
    liveness = Liveness(
        intake=worker.intake,
        claim=worker.store.ledger.claim,
        check=proofs.check,
        leave=proofs.leave,
        listens=lambda: monotonic() - Consumer.turned_at < _LISTENS_S,
    )
    _start("liveness", liveness.beat, _LIVENESS_S)


def _drain(worker: Worker) -> None:
    # Celery waits for every call in flight on this pool, without a limit; our deadline ends the calls.
    worker.intake.close()
    cutting = Timer(_settings.drain_s, lambda: worker.loop.run(worker.provider.cut()))
    cutting.daemon = True
    cutting.start()


@signals.worker_shutdown.connect
def _close(**_signal: Any) -> None:
    _until_shutdown.close()
    if (state.should_stop or 0) > SOME_FAILED:  # our code, which Celery's command line drops; 1 is Celery's Ctrl-C
        raise SystemExit(state.should_stop)
