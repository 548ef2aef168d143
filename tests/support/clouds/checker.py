"""A local endpoint: one judge checks each request, and a good request gets a Message."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from models.chain.deadline import Deadline
from models.endpoints import Endpoint
from tests.support.plays.awaited import finished
from tests.support.plays.walk_scene import PARAMS, message
from worker.endpoints.sdk_address import address_of
from worker.provider.anthropic_client import AnthropicProvider
from worker.provider.reply import Broken, Received

MODEL = "claude-opus-4-7"
_DEADLINE = Deadline(after_s=20, reason="CALL_TIMEOUT_S")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request as it arrived. `path` is as on the wire; the names of headers are lower case."""

    method: str
    host: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The reply to a request that is not signed well, or that is no message."""

    status: int
    body: object
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """One or more calls: the messages that arrived, with all other requests, and the ends."""

    requests: list[Sent]
    ends: list[Received | Broken]

    @property
    def messages(self) -> list[Sent]:
        """The requests for a message."""
        return [sent for sent in self.requests if sent.method == "POST"]

    @property
    def sent(self) -> Sent:
        """The only request for a message."""
        (only,) = self.messages
        return only

    @property
    def end(self) -> Received | Broken:
        """The end of the last call."""
        return self.ends[-1]


Judge = Callable[[Sent], Answer | None]


def call(
    judge: Judge,
    fields: Mapping[str, Any],
    *,
    model: str = MODEL,
    headers: Mapping[str, str] | None = None,
    reply_headers: Mapping[str, str] | None = None,
    prepare: Callable[[str], object] = str,
    is_streamed: bool = False,
    times: int = 1,
) -> Called:
    """Call a model at an endpoint with these fields; its base_url is the checker's. `prepare` takes host and port."""

    async def calling() -> Called:
        async with _checker(judge, reply_headers or {}) as (url, requests):
            prepare(url.removeprefix("http://"))
            endpoint = Endpoint(**{"name": "elsewhere", "base_url": url, **fields})
            provider = AnthropicProvider(address_of(endpoint), connect_timeout_s=5)
            try:
                ends = [
                    await provider.call(
                        endpoint.id_of(model),
                        PARAMS,
                        attempt_id="a",
                        job_id="j",
                        deadline=_DEADLINE,
                        headers=headers,
                        on_event=_unread if is_streamed else None,
                    )
                    for _ in range(times)
                ]
            finally:
                await provider.close()
        return Called(requests=requests, ends=ends)

    return finished(calling())


def _unread(_event: object) -> None:
    """Read no event."""


@asynccontextmanager
async def _checker(judge: Judge, reply_headers: Mapping[str, str]) -> AsyncIterator[tuple[str, list[Sent]]]:
    requests: list[Sent] = []

    async def answer(request: web.Request) -> web.Response:
        names = [name.lower() for name in request.headers]
        assert len(names) == len(set(names)), f"a header twice: {names}"
        sent = Sent(
            method=request.method,
            host=request.host,
            path=request.raw_path,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
        )
        requests.append(sent)
        other = judge(sent)
        if other is None:
            return web.json_response(message(), headers=reply_headers)
        return web.json_response(other.body, status=other.status, headers=other.headers)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", requests
    finally:
        await runner.cleanup()
