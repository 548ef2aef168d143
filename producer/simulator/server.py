"""The HTTP side: the API's routes, and the routes by which a test controls the simulator."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING

from aiohttp import web

from producer.simulator.account.report import cost_page, usage_page
from producer.simulator.account.report_query import BETA, AskedError, asked_for
from producer.simulator.answer.fields import ScriptError
from producer.simulator.answer.script import parse_script
from producer.simulator.batch_routes import LARGEST_READ, BatchRoutes
from producer.simulator.batches.workspace import Workspace
from producer.simulator.delivery import deliver
from producer.simulator.request.catalog import MODELS, Model, find
from producer.simulator.request.checks import RefusedError, check_head, read_prompt
from producer.simulator.request.errors import ApiError, error_json
from producer.simulator.request.reasoning import EFFORTS, KINDS
from producer.simulator.request.versions import head_of
from producer.simulator.simulation import Incoming, Simulation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aiohttp.typedefs import Handler

_RELEASE_UNKNOWN = "1970-01-01T00:00:00Z"  # the API's own value for an unknown date


@dataclass(slots=True)
class Server:
    """The routes over a simulation."""

    simulation: Simulation
    _batches: BatchRoutes = field(init=False)
    _in_flight: int = 0
    _most_in_flight: int = 0
    _started_s: float = field(default_factory=time.monotonic)
    _ids: count[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self._batches = BatchRoutes(Workspace(self.simulation))

    def app(self) -> web.Application:
        """Return the application; bodies are read whole, even bodies that are then refused as too large."""
        app = web.Application(client_max_size=LARGEST_READ, middlewares=[self._refusing])
        app.cleanup_ctx.append(self._running_batches)
        self._batches.add_to(app)
        app.router.add_post("/v1/messages", self._messages)
        app.router.add_post("/v1/messages/count_tokens", self._count_tokens)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/models/{id}", self._model)
        app.router.add_get("/v1/organizations/analytics/usage", self._report)
        app.router.add_get("/v1/organizations/analytics/cost", self._report)
        app.router.add_get("/_simulator/purchases", self._purchases)
        app.router.add_get("/_simulator/stats", self._stats)
        app.router.add_post("/_simulator/script", self._script)
        app.router.add_get("/_simulator/health", self._health)
        app.router.add_route("*", "/{path:.*}", self._unknown)
        return app

    async def _running_batches(self, _: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(self._batches.run())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    @web.middleware
    async def _refusing(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Send the API's error if a route refuses."""
        try:
            return await handler(request)
        except RefusedError as refused:
            return self._error(refused.error, refused.headers)

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        incoming = Incoming(
            body=await request.read(),
            head=head_of(request.headers),
            job=request.headers.get("x-stepdown-job"),
            attempt=request.headers.get("x-stepdown-attempt"),
        )
        self._in_flight += 1
        self._most_in_flight = max(self._most_in_flight, self._in_flight)
        try:
            return await deliver(request, self.simulation.answer(incoming))
        finally:
            self._in_flight -= 1

    async def _count_tokens(self, request: web.Request) -> web.Response:
        per_token = self.simulation.script.bytes_per_token
        head = head_of(request.headers)
        prompt = read_prompt(await request.read(), head, for_count=True, bytes_per_token=per_token)
        return web.json_response({"input_tokens": prompt.tokens}, headers=self._headers())

    async def _models(self, request: web.Request) -> web.Response:
        check_head(head_of(request.headers))
        page = {
            "data": [_model_json(model) for model in MODELS],
            "has_more": False,
            "first_id": MODELS[0].id,
            "last_id": MODELS[-1].id,
        }
        return web.json_response(page, headers=self._headers())

    async def _model(self, request: web.Request) -> web.Response:
        check_head(head_of(request.headers))
        name = request.match_info["id"]
        model = find(name)
        if model is None:
            return self._error(ApiError(status=404, type="not_found_error", message=f"model: {name}"))
        return web.json_response(_model_json(model), headers=self._headers())

    async def _report(self, request: web.Request) -> web.Response:
        check_head(head_of(request.headers))
        if BETA not in request.headers.get("anthropic-beta", ""):
            return self._error(ApiError(status=404, type="not_found_error", message="Not Found"))
        of_costs = request.path.endswith("/cost")
        refreshed_at = self.simulation.utc_now() - timedelta(seconds=self.simulation.script.report_behind_s)
        try:
            asked = asked_for(list(request.query.items()), of_costs=of_costs, refreshed_at=refreshed_at)
        except AskedError as error:
            return self._error(ApiError(status=400, type="invalid_request_error", message=str(error)))
        page = (cost_page if of_costs else usage_page)(self.simulation.log.read(), asked)
        return web.json_response(page, headers=self._headers())

    async def _purchases(self, _: web.Request) -> web.Response:
        return web.json_response(self.simulation.log.read())

    async def _stats(self, _: web.Request) -> web.Response:
        tally = self.simulation.tally
        stats = {
            "requests": tally["requests"],
            "billed_nano_usd": tally["billed_nano_usd"],
            "answers": {key[7:]: number for key, number in tally.items() if key.startswith("answer ")},
            "noise": {key[6:]: number for key, number in tally.items() if key.startswith("noise ")},
            "jobs": self.simulation.jobs,
            "batch_calls": dict(self._batches.workspace.calls),
            "batch_items_waiting": self._batches.workspace.waiting,
            "in_flight": self._in_flight,
            "most_in_flight": self._most_in_flight,
            "uptime_s": time.monotonic() - self._started_s,
            "cpu_s": time.process_time(),
        }
        return web.json_response(stats)

    async def _script(self, request: web.Request) -> web.Response:
        try:
            script = parse_script(await request.text())
        except (ScriptError, UnicodeDecodeError) as error:
            return web.Response(status=400, text=str(error))
        self.simulation.play(script)
        self._batches.play()
        return web.json_response({"rules": len(script.rules), "limits": sorted(script.limits)})

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def _unknown(self, _: web.Request) -> web.Response:
        return self._error(ApiError(status=404, type="not_found_error", message="Not Found"))

    def _headers(self) -> dict[str, str]:
        return {"request-id": f"req_sim{next(self._ids):06d}"}

    def _error(self, error: ApiError, more: Mapping[str, str] | None = None) -> web.Response:
        headers = self._headers() | dict(more or {})
        return web.Response(
            status=error.status,
            body=error_json(error, headers["request-id"]),
            content_type="application/json",
            headers=headers,
        )


def _model_json(model: Model) -> dict[str, object]:
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.name,
        "created_at": _RELEASE_UNKNOWN,
        "line": model.line,
        "lifecycle": "deprecated" if model.retires_at else "active",
        "deprecated_at": None,
        "retires_at": model.retires_at,
        "max_input_tokens": model.context,
        "max_tokens": model.max_output,
        "capabilities": {
            "thinking": {
                "supported": True,
                "types": {kind: {"supported": kind in model.thinking} for kind in KINDS},
            },
            "effort": {
                "supported": bool(model.efforts),
                **{effort: {"supported": effort in model.efforts} for effort in EFFORTS},
            },
        },
    }
