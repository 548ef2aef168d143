"""The application behind `stepdown serve`: its routes over one producer, and one wording for all that goes wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from models.errors import StepdownError
from models.settings import Settings
from producer import batches_api, messages_api, metrics, own_api
from producer.admission import Admission, refused
from producer.client import Producer
from producer.refusal import Refusal, refusal_of
from producer.waiting import Waiting

_BATCHES = "/v1/messages/batches"
_OWN = "/api/v1"
_ROUTES = (
    Route("/v1/messages", messages_api.create, methods=["POST"]),
    Route(_BATCHES, batches_api.create, methods=["POST"]),
    Route(_BATCHES, batches_api.listing, methods=["GET"]),
    Route(f"{_BATCHES}/{{id}}", batches_api.retrieve, methods=["GET"]),
    Route(f"{_BATCHES}/{{id}}", batches_api.delete, methods=["DELETE"]),
    Route(f"{_BATCHES}/{{id}}/cancel", batches_api.cancel, methods=["POST"]),
    Route(f"{_BATCHES}/{{id}}/results", batches_api.results, methods=["GET"]),
    Route(f"{_OWN}/batches", own_api.create, methods=["POST"]),
    Route(f"{_OWN}/batches", own_api.listing, methods=["GET"]),
    Route(f"{_OWN}/batches/{{id}}", own_api.retrieve, methods=["GET"]),
    Route(f"{_OWN}/batches/{{id}}/results", own_api.results, methods=["GET"]),
    Route(f"{_OWN}/batches/{{id}}/cancel", own_api.cancel, methods=["POST"]),
    Route(f"{_OWN}/jobs/{{id}}", own_api.job, methods=["GET"]),
    Route(f"{_OWN}/health", own_api.health, methods=["GET"]),
    Route(f"{_OWN}/openapi.json", own_api.document, methods=["GET"]),
    Route("/healthz", metrics.healthz, methods=["GET"]),
    Route("/metrics", metrics.metrics, methods=["GET"]),
)


def app_over(producer: Producer, settings: Settings) -> Starlette:
    """Make the application; it does not close the producer."""
    app = Starlette(
        routes=_ROUTES,
        middleware=[Middleware(Admission, callers=settings.callers)],
        exception_handlers={HTTPException: _not_routed, StepdownError: _told},
        lifespan=_waiting,
    )
    app.router.redirect_slashes = False  # a POST that is sent elsewhere loses its body
    app.state.producer = producer
    app.state.settings = settings
    app.state.waiting = Waiting(
        settled=producer.books.reports.settled,
        let_go=partial(producer.books.orders.cancel, with_running=False),
    )
    return app


@asynccontextmanager
async def _waiting(app: Starlette) -> AsyncIterator[None]:
    looking = asyncio.create_task(app.state.waiting.run())
    try:
        yield
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


async def _not_routed(request: Request, error: Exception) -> Response:
    """Tell that nothing is there, or nothing for this method; `allow` names those there are."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    said = f"{request.method} is not for {request.url.path}" if headers else f"there is nothing at {request.url.path}"
    response = refused(Refusal(status, said), request.state.request_id)
    response.headers.update(headers or {})
    return response


async def _told(request: Request, error: Exception) -> Response:
    refusal = refusal_of(error) if isinstance(error, StepdownError) else Refusal(500, "a mistake of ours")
    return refused(refusal, request.state.request_id)
