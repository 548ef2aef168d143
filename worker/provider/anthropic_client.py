"""The Anthropic Messages API, called once and cut exactly at a deadline. The only file that knows the SDK."""

import asyncio
import socket
import time
from collections.abc import Mapping
from concurrent.futures import CancelledError
from decimal import Decimal
from threading import Thread
from typing import Any

import aiohttp
import httpx2
from anthropic import APIError, APIStatusError, AsyncAnthropic, DefaultAioHttpClient
from anthropic.types import Message

from models.chain.deadline import Deadline
from models.text import line
from worker.provider.reply import Broken, Received

# With one of these below the SDK's error, no byte has left; else some may have. httpx2's own ConnectError proves
# nothing: its aiohttp transport raises that error for a reset after sending, too.
_NOTHING_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_PROBES = {"TCP_KEEPIDLE": 60, "TCP_KEEPALIVE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}  # seconds; KEEPCNT: probes
_OK, _NOT_FOUND = 200, 404
_FACTS_S = 2.0
_LIMITS = (
    f"anthropic-ratelimit-{kind}-{figure}"
    for kind in ("requests", "input-tokens", "output-tokens")
    for figure in ("limit", "remaining")
)
_ADVICE = ("retry-after", "retry-after-ms", "x-ms-retry-after-ms", "date")
_HEADERS = ("request-id", "content-type", "location", "server", *_ADVICE, *_LIMITS)


class ChainMessage(Message):
    """The SDK's own Message, as frameworks ask for, with the job and the cost of the call.

    `job_id` is the call's, for `ChainClient.child`. `cost_usd` is None if the cost of an attempt is unknown.
    """

    job_id: str
    fallback_depth: int
    cost_usd: Decimal | None


class AnthropicProvider:
    """Hides one event loop thread behind a synchronous call: only a loop can cut a dripping body in time.

    500 threads that wait on one loop cost half the CPU of 500 that each hold a connection.
    """

    def __init__(self, *, api_key: str, base_url: str, connect_timeout_s: float) -> None:
        self._in_flight: set[asyncio.Task[Any]] = set()
        self._settings = (api_key, base_url, connect_timeout_s)
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="provider", daemon=True)
        self._thread.start()
        self._client = asyncio.run_coroutine_threadsafe(self._connect(), self._loop).result()

    async def _connect(self) -> AsyncAnthropic:
        api_key, base_url, connect_timeout_s = self._settings
        timeout = httpx2.Timeout(None, connect=connect_timeout_s)  # each call has its own deadline, body included
        return AsyncAnthropic(
            api_key=api_key,
            base_url=base_url,
            max_retries=0,  # each request that leaves the machine is an attempt with its row
            timeout=timeout,
            http_client=_Client(
                # No limit of connections: a call that waits for a connection is an attempt whose request has not left.
                # aiohttp knows 0 as no limit; None would leave aiohttp's own limit of a hundred.
                limits=httpx2.Limits(max_connections=0),
                timeout=timeout,
                follow_redirects=False,  # a second request, without its row
            ),
        )

    def call(
        self,
        model: str,
        params: Mapping[str, Any],
        *,
        attempt_id: str,
        job_id: str,
        deadline: Deadline,
        headers: Mapping[str, str] | None = None,
    ) -> Received | Broken:
        """Send a request and wait for the whole body, until the deadline at most, in wall-clock time."""
        started = time.monotonic()
        body = {"model": model, **params}
        sent_as = {**(headers or {}), "x-stepdown-attempt": attempt_id, "x-stepdown-job": job_id}
        sent = asyncio.run_coroutine_threadsafe(self._send(body, sent_as, deadline), self._loop)
        try:
            response = sent.result()
        except CancelledError:
            return Broken(how="cut", detail="the worker was stopped during the call", latency_ms=_since(started))
        except TimeoutError:
            detail = f"no complete reply within {deadline}"
            return Broken(how="timed_out", detail=detail, latency_ms=_since(started))
        except APIError as error:
            return _broken(error, _since(started))
        return Received(
            status=response.status_code,
            headers={name: response.headers[name] for name in _HEADERS if name in response.headers},
            body=response.content,
            latency_ms=_since(started),
        )

    async def _send(self, body: Mapping[str, Any], headers: Mapping[str, str], deadline: Deadline) -> httpx2.Response:
        if (task := asyncio.current_task()) is not None:
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)
        async with asyncio.timeout(deadline.after_s):
            try:
                return await self._client.post(
                    "/v1/messages", body=body, cast_to=httpx2.Response, options={"headers": headers}
                )
            except APIStatusError as error:
                return error.response

    def facts(self, model: str) -> Mapping[str, Any] | None:
        """Return the API's facts of a model, at no cost. Empty if the API has no such model, None without an answer."""
        try:
            response = asyncio.run_coroutine_threadsafe(self._get(f"/v1/models/{model}"), self._loop).result()
            body = {} if response.status_code == _NOT_FOUND else response.json()
        except (CancelledError, TimeoutError, APIError, ValueError):
            return None
        return body if response.status_code in (_OK, _NOT_FOUND) and isinstance(body, dict) else None

    async def _get(self, path: str) -> httpx2.Response:
        async with asyncio.timeout(_FACTS_S):
            try:
                return await self._client.get(path, cast_to=httpx2.Response)
            except APIStatusError as error:
                return error.response

    def cut(self) -> None:
        """End the calls in flight at once; each may be billed all the same."""
        self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._in_flight])

    def close(self) -> None:
        """End the connections and the loop; a forked child, in which the loop has no thread, has nothing to end."""
        if not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._disconnect(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _disconnect(self) -> None:
        await self._client.close()
        await self._loop.shutdown_default_executor()  # its threads look up names


class _Client(DefaultAioHttpClient):
    """The SDK's client on aiohttp. The connections probe a silent peer: a dead peer ends before the deadline.

    The probes also keep a connection open in a NAT gateway, which drops silent connections: in AWS after 350 s.
    """

    def _init_transport(self, *args: Any, **options: Any) -> Any:
        transport: Any = super()._init_transport(*args, **options)
        transport.client = lambda: aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=transport.limits.max_connections,
                keepalive_timeout=transport.limits.keepalive_expiry,
                ssl=transport.ssl_context,
                socket_factory=probing_socket,
            )
        )
        return transport


def probing_socket(address: tuple[Any, ...]) -> socket.socket:
    """Make a socket that probes its peer after a minute of silence, and gives up after two minutes of silence."""
    family, kind, protocol, *_ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _PROBES.items():
        if (option := getattr(socket, name, None)) is not None:  # each system has its own options
            made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made


def as_message(message: Mapping[str, Any], **more: Any) -> ChainMessage:
    """Give a received Message the SDK's attributes; as in the SDK, unknown fields stay as received."""
    return ChainMessage.construct(**{**message, **more})


def _broken(error: APIError, latency_ms: int) -> Broken:
    cause = error.__cause__ or error
    detail = line(f"{type(cause).__name__}: {cause}") or type(cause).__name__
    # A header that cannot be written, such as a key with a line break, is refused before sending.
    if isinstance(cause.__cause__, _NOTHING_SENT) or isinstance(cause, ValueError):
        return Broken(how="unreachable", detail=detail, latency_ms=latency_ms)
    if isinstance(cause, httpx2.TimeoutException):
        return Broken(how="timed_out", detail=detail, latency_ms=latency_ms)
    return Broken(how="cut", detail=detail, latency_ms=latency_ms)


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
