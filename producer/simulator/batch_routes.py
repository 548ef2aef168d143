"""The HTTP side of message batches: the six routes, their rate limit, and the faults of replies."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

from aiohttp import web

from producer.simulator.account.buckets import Limits, RateLimits
from producer.simulator.answer.batch_script import BatchSettings
from producer.simulator.answer.wire import page_of, retry_after, status_of
from producer.simulator.batches.choose import Call
from producer.simulator.batches.requests import read_items
from producer.simulator.batches.results import inside_a_line, with_faults
from producer.simulator.delivery import deliver
from producer.simulator.request.checks import LARGEST_BODY, RefusedError, check_head, invalid
from producer.simulator.request.errors import ERRORS, ApiError, error_json
from producer.simulator.request.versions import head_of
from producer.simulator.simulation import Reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from producer.simulator.answer.batch_script import BatchRule
    from producer.simulator.answer.draw import Draw
    from producer.simulator.batches.batch import Batch
    from producer.simulator.batches.workspace import Workspace
    from producer.simulator.request.versions import Head

LARGEST_READ = BatchSettings().most_bytes + LARGEST_BODY  # larger bodies are refused by their announced size
_PATH = "/v1/messages/batches"
_LIMITS = range(1, 1001)
_GROUP = "batches"
_TICK_S = 0.05
_CHUNK = 65_536
_ADVICE_S = 30  # of a full queue


@dataclass(slots=True)
class BatchRoutes:
    """The routes over a workspace."""

    workspace: Workspace
    _limits: RateLimits = field(init=False)
    _created: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.play()

    def play(self) -> None:
        """Follow a new script: rules and rate limit start again."""
        self.workspace.play()
        settings = self.workspace.settings
        per_minute = settings.requests_per_minute
        if per_minute is not None:
            per_minute = max(1, round(per_minute * settings.times_faster))
        limits = {_GROUP: Limits(requests_per_minute=per_minute)}
        self._limits = RateLimits(limits, self.workspace.simulation.clock())

    def add_to(self, app: web.Application) -> None:
        """Add the routes, and the task that runs the items."""
        app.router.add_post(_PATH, self._create)
        app.router.add_get(_PATH, self._list)
        app.router.add_get(_PATH + "/{id}", self._retrieve)
        app.router.add_post(_PATH + "/{id}/cancel", self._cancel)
        app.router.add_delete(_PATH + "/{id}", self._delete)
        app.router.add_get(_PATH + "/{id}/results", self._results)
        app.router.add_get("/_simulator/batches", self._everything)

    async def run(self) -> None:
        """Run items when they are due; other calls have their turn in between."""
        while True:
            wait_s = self.workspace.settle()
            if wait_s is None:
                self._created.clear()
                await self._created.wait()
            else:
                await asyncio.sleep(min(wait_s, _TICK_S))

    async def _create(self, request: web.Request) -> web.StreamResponse:
        head = self._admit(request)
        workspace = self.workspace
        if (request.content_length or 0) > LARGEST_READ:
            raise RefusedError("413", ERRORS["413"])
        raw = await request.read()
        items = read_items(raw, workspace.settings)
        self._check_queue(len(items))
        draw = workspace.draw("create", raw)
        workspace.creates += 1
        rule = workspace.choose(Call(kind="create", number=workspace.creates, items=items), draw)
        workspace.create_foreign(items, head, rule, draw)
        body: dict[str, object] = {}
        if rule.accepted:
            body = self._spelled(workspace.create(items, head, rule, draw), request)
        self._created.set()
        return await deliver(request, self._reply(rule, draw, json.dumps(body).encode()))

    async def _list(self, request: web.Request) -> web.StreamResponse:
        self._admit(request)
        asked = request.query
        limit = asked.get("limit", "20")
        if not limit.isdecimal() or int(limit) not in _LIMITS:
            raise invalid("limit: Input should be a whole number from 1 to 1000")
        self.workspace.settle()
        batches, has_more = self.workspace.page(int(limit), asked.get("after_id"), asked.get("before_id"))
        page = {
            "data": [self._spelled(batch, request) for batch in batches],
            "has_more": has_more,
            "first_id": batches[0].id if batches else None,
            "last_id": batches[-1].id if batches else None,
        }
        draw = self.workspace.draw("list", request.query_string.encode())
        rule = self.workspace.choose(Call(kind="list"), draw)
        return await deliver(request, self._reply(rule, draw, json.dumps(page).encode()))

    async def _retrieve(self, request: web.Request) -> web.StreamResponse:
        batch, rule, draw = self._called(request, "retrieve")
        return await deliver(request, self._reply(rule, draw, json.dumps(self._spelled(batch, request)).encode()))

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        batch, rule, draw = self._called(request, "cancel")
        if rule.accepted:
            self.workspace.cancel(batch)
        return await deliver(request, self._reply(rule, draw, json.dumps(self._spelled(batch, request)).encode()))

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        batch, rule, draw = self._called(request, "delete")
        if rule.accepted:
            self.workspace.delete(batch)
        body = {"id": batch.id, "type": "message_batch_deleted"}
        return await deliver(request, self._reply(rule, draw, json.dumps(body).encode()))

    async def _results(self, request: web.Request) -> web.StreamResponse:
        batch, rule, draw = self._called(request, "results")
        answer = rule.reply.answer
        if answer.content == "error" or (answer.content == "page" and not rule.accepted):
            return await deliver(request, self._reply(rule, draw, b""))
        lines = with_faults(self.workspace.results(batch), answer.word, rule.line_bytes)
        if answer.is_of_wire:
            whole = [*lines]
            reply = self._reply(rule, draw, b"".join(whole), "application/x-jsonl", half=inside_a_line(whole))
            return await deliver(request, reply)
        response = web.StreamResponse(headers=self._headers(draw) | {"content-type": "application/x-jsonl"})
        await asyncio.sleep(rule.delay_s)
        await response.prepare(request)
        for chunk in _chunks(lines):
            await response.write(chunk)
        await response.write_eof()
        return response

    async def _everything(self, _: web.Request) -> web.Response:
        return web.json_response(self.workspace.everything())

    def _called(self, request: web.Request, kind: str) -> tuple[Batch, BatchRule, Draw]:
        """Find the message batch of a call, and the rule that answers."""
        self._admit(request)
        self.workspace.settle()
        batch = self.workspace.find(request.match_info["id"])
        draw = self.workspace.draw(kind, batch.id.encode())
        return batch, self.workspace.choose(Call(kind=kind, number=batch.number, items=batch.items), draw), draw

    def _spelled(self, batch: Batch, request: web.Request) -> dict[str, object]:
        host = self.workspace.settings.results_host or str(request.url.origin())
        return batch.as_api(self.workspace.simulation.clock(), host)

    def _admit(self, request: web.Request) -> Head:
        """Check the headers of a call, and take the call from the bucket of these routes."""
        head = head_of(request.headers)
        check_head(head)
        simulation = self.workspace.simulation
        admission = self._limits.admit(_GROUP, 0, simulation.clock())
        if admission.wait_s is not None:
            words = f"{admission.per_minute:,} Message Batches API requests per minute"
            raise self._limited(words, admission.wait_s)
        return head

    def _check_queue(self, added: int) -> None:
        self.workspace.settle()
        if self.workspace.waiting + added > self.workspace.settings.queue:
            words = f"{self.workspace.settings.queue:,} batch requests in the processing queue"
            raise self._limited(words, math.ceil(_ADVICE_S / self.workspace.settings.times_faster))

    def _limited(self, words: str, wait_s: int) -> RefusedError:
        message = f"This request would exceed your organization's rate limit of {words}. Please try again later."
        script, now = self.workspace.simulation.script, self.workspace.utc_now()
        return RefusedError(
            "429",
            ApiError(status=429, type="rate_limit_error", message=message),
            headers=self._limit_headers() | retry_after(wait_s, script.retry_after_form, now),
        )

    def _reply(
        self, rule: BatchRule, draw: Draw, body: bytes, content_type: str = "application/json", half: int | None = None
    ) -> Reply:
        """Give a reply the fault of a rule."""
        reply, answer, page = rule.reply, rule.reply.answer, page_of(rule.reply)
        headers = self._headers(draw)
        if page is not None:
            body, content_type, headers = (
                page.body.encode("utf-8", "surrogatepass"),
                page.media_type,
                dict(page.headers),
            )
        elif answer.error is not None:
            body, content_type = error_json(answer.error, headers["request-id"]), "application/json"
        elif answer.content in ("malformed", "empty"):
            body = body[: len(body) * 2 // 3] + b"," if answer.content == "malformed" else b""
        if reply.retry_after_s is not None:
            form = reply.retry_after_form or self.workspace.simulation.script.retry_after_form
            headers |= retry_after(reply.retry_after_s, form, self.workspace.utc_now())
        return Reply(
            delivery=answer.delivery,
            status=status_of(reply),
            content_type=content_type,
            headers=headers,
            body=body,
            delay_s=rule.delay_s,
            every_s=reply.every_s,
            half=half,
        )

    def _headers(self, draw: Draw) -> dict[str, str]:
        date = format_datetime(self.workspace.utc_now(), usegmt=True)
        return {"request-id": "req_011C" + draw.token("request", 20), "date": date, **self._limit_headers()}

    def _limit_headers(self) -> dict[str, str]:
        """Spell the limit of these routes; calls about message batches have no limits of tokens."""
        simulation = self.workspace.simulation
        kind, limit, remaining, full_in_s = self._limits.headers(_GROUP, simulation.clock())[0]
        reset = self.workspace.utc_now() + timedelta(seconds=full_in_s)
        name = f"anthropic-ratelimit-{kind}"
        return {
            f"{name}-limit": str(limit),
            f"{name}-remaining": str(remaining),
            f"{name}-reset": reset.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


def _chunks(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Join lines to pieces that are worth a packet."""
    piece = bytearray()
    for line in lines:
        piece += line
        if len(piece) >= _CHUNK:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)
