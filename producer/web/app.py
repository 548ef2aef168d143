"""The application behind `stepdown serve`: the routes over one producer, and one form for all errors."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from inspect import iscoroutinefunction
from typing import Any, TypeAlias

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from models.errors import StepdownError
from models.outcome import State
from models.queue.embedded_redis import broker_url
from models.queue.end_signals import signals
from models.queue.live_events import ListenedJobs
from models.queue.redis_keys import ENDS
from models.settings import Settings
from producer.client import Producer
from producer.web import metrics
from producer.web.api import batches, messages, models, v1
from producer.web.http.authentication import Authentication, error_response
from producer.web.http.await_jobs import Waiting
from producer.web.http.context import Server
from producer.web.http.errors import Refusal, refusal_of
from producer.web.http.limits import Limits, Slots
from producer.web.http.live_streams import LiveStreams
from producer.web.http.receive_body import BodyLimits

_Endpoint: TypeAlias = Callable[[Request], Any]  # a function that is not async runs in a thread
_BATCHES = "/v1/messages/batches"
_OWN = "/api/v1"
_SILENT_S = 10.0  # proxies and readers wait longer for a first byte
_CANCEL_AGAIN_S = 0.5
_IDLE_S = 60.0  # the client may ask elsewhere in time; SDKs wait for ten minutes
_COUNTING_S = 30.0
_ROUTES: Mapping[str, Mapping[str, _Endpoint]] = {
    "/v1/messages": {"POST": messages.create},
    "/v1/messages/count_tokens": {"POST": models.count_tokens},
    "/v1/models": {"GET": models.listing},
    "/v1/models/{id}": {"GET": models.retrieve},
    _BATCHES: {"POST": batches.create, "GET": batches.listing},
    f"{_BATCHES}/{{id}}": {"GET": batches.retrieve, "DELETE": batches.delete},
    f"{_BATCHES}/{{id}}/cancel": {"POST": batches.cancel},
    f"{_BATCHES}/{{id}}/results": {"GET": batches.results},
    f"{_OWN}/batches": {"POST": v1.create, "GET": v1.listing},
    f"{_OWN}/batches/{{id}}": {"GET": v1.retrieve},
    f"{_OWN}/batches/{{id}}/results": {"GET": v1.results},
    f"{_OWN}/batches/{{id}}/jobs": {"GET": v1.jobs},
    f"{_OWN}/batches/{{id}}/cancel": {"POST": v1.cancel},
    f"{_OWN}/jobs/{{id}}": {"GET": v1.job},
    f"{_OWN}/health": {"GET": v1.health},
    f"{_OWN}/openapi.json": {"GET": v1.document},
    "/healthz": {"GET": metrics.healthz},
    "/metrics": {"GET": metrics.metrics},
}


def app_over(
    producer: Producer,
    settings: Settings,
    *,
    silent_s: float = _SILENT_S,
    idle_s: float = _IDLE_S,
    body_limits: BodyLimits | None = None,
) -> Starlette:
    """Return the application. The caller closes the producer.

    A stream begins with the status of its answer if the answer is there within `silent_s`, else with a ping.
    """
    app = Starlette(
        routes=[_route(path, endpoints) for path, endpoints in _ROUTES.items()],
        middleware=[
            Middleware(Authentication, callers=settings.callers, limits=Limits(producer=producer, settings=settings))
        ],
        exception_handlers={HTTPException: _not_routed, StepdownError: _failed},
        lifespan=_waiting,
    )
    app.router.redirect_slashes = False  # a redirected POST loses its body
    app.state.body_limits = body_limits or BodyLimits()
    app.state.server = Server(
        producer=producer,
        settings=settings,
        waiting=Waiting(
            settled=producer.store.reports.settled,
            let_go=partial(producer.store.job_actions.cancel, states=(State.QUEUED, State.WAITING)),
        ),
        live=LiveStreams(ListenedJobs(partial(broker_url, settings))),
        counting=Slots(what="requests to count tokens", per_caller=4, in_all=16, patience_s=_COUNTING_S),
        silent_s=silent_s,
        idle_s=idle_s,
    )
    return app


def _route(path: str, endpoints: Mapping[str, _Endpoint]) -> Route:
    """Return the route of a path, so that `allow` names every method."""

    async def answer(request: Request) -> Response:
        endpoint = endpoints["GET" if request.method == "HEAD" else request.method]
        is_async = iscoroutinefunction(endpoint)
        response: Response = await (endpoint(request) if is_async else run_in_threadpool(endpoint, request))
        return response

    return Route(path, answer, methods=[*endpoints])


@asynccontextmanager
async def _waiting(app: Starlette) -> AsyncIterator[None]:
    server: Server = app.state.server
    looking = asyncio.create_task(server.waiting.run())
    of_redis = {asyncio.create_task(_listen(server)), asyncio.create_task(server.live.beat())}
    try:
        yield
    finally:
        # A client of Redis may take a cancellation for the loss of its connection.
        while of_redis:
            for task in of_redis:
                task.cancel()
            _, of_redis = await asyncio.wait(of_redis, timeout=_CANCEL_AGAIN_S)
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
        await server.live.close()


async def _listen(server: Server) -> None:
    async for signal in signals(partial(broker_url, server.settings), ENDS, server.live.channel):
        match signal:
            case None:
                server.live.deafen()
                server.waiting.signal(None)
            case (channel, text) if channel == ENDS:
                server.waiting.signal(text)
            case (_, text):
                server.live.receive(text)


async def _not_routed(request: Request, error: Exception) -> Response:
    """Answer 404 for a path without a route, 405 for another method. `allow` names the methods there are."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    path = request.url.path
    message = f"{request.method} is not for {path}" if headers else f"there is nothing at {path}"
    response = error_response(Refusal(status, message), request.state.request_id)
    response.headers.update(headers or {})
    return response


async def _failed(request: Request, error: Exception) -> Response:
    refusal = refusal_of(error) if isinstance(error, StepdownError) else Refusal(500, "a mistake of ours")
    return error_response(refusal, request.state.request_id)
