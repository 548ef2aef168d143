"""The Messages API of one address, called once and cut exactly at a deadline."""

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx2
from yarl import URL

from models.chain.cloud_error import ERROR_TYPE, Cloud
from models.chain.deadline import Deadline
from models.text import line
from worker.provider.reply import REQUEST_IDS, Broken, Received
from worker.provider.stream import IncomingStream, OnEvent, StreamError
from worker.provider.stream_times import StreamTimes

_NOTHING_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)  # no byte has left; else some may have
_PROBES = {"TCP_KEEPIDLE": 60, "TCP_KEEPALIVE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}  # seconds; KEEPCNT: probes
_OK, _NOT_FOUND = 200, 404
_EVENTS = "text/event-stream"
_FACTS_S, _SIGN_S = 2.0, 10.0
_LIMITS = (
    f"anthropic-ratelimit-{kind}-{figure}"
    for kind in ("requests", "input-tokens", "output-tokens")
    for figure in ("limit", "remaining")
)
_ADVICE = ("retry-after", "retry-after-ms", "x-ms-retry-after-ms", "date")
_HEADERS = (*REQUEST_IDS, ERROR_TYPE, "content-type", "location", "server", *_ADVICE, *_LIMITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A request as the SDK would send one, with a signature or a token of this minute."""

    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """The place of a Messages API, without a slash at its end, and the headers of every request.

    `sign` makes a request of a body and headers, if each request has a signature of its own. Without credentials,
    errors of the SDK or of a cloud's package come out. An address that takes no streams answers in one piece.
    `cloud` owns the address; None: no cloud does. `is_direct` is as in `Received`.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    sign: Callable[[Mapping[str, Any], Mapping[str, str]], Awaitable[Signed]] | None = None
    takes_stream: bool = True
    is_direct: bool = False
    cloud: Cloud | None = None


class AnthropicProvider:
    """Sends requests on the event loop that opens the provider: only a loop can cut a dripping body in time.

    The SDK gives the address and the headers of a request (worker/endpoints). aiohttp sends the request.
    The SDK's own way, with retries and parsing, costs as much CPU as the rest of a job.
    """

    def __init__(self, address: Address, *, connect_timeout_s: float) -> None:
        self._in_flight: set[asyncio.Task[Received | Broken]] = set()
        self._early: dict[str, int] = {}  # model: the longest request, in bytes, whose stream was seen to begin early
        self._clock = asyncio.get_running_loop().time
        self._connect_timeout_s = connect_timeout_s
        self._address = address
        place = urlsplit(address.url)
        self._session = aiohttp.ClientSession(
            headers=address.headers,
            # No limit of connections: a call that waits for a connection is an attempt whose request has not left.
            connector=aiohttp.TCPConnector(limit=0, ssl=httpx2.create_ssl_context(), socket_factory=probing_socket),
            # Each call has its own deadline, body included.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=_proxy_for(place.scheme, place.hostname or ""),
        )

    async def call(
        self,
        model: str,
        params: Mapping[str, Any],
        *,
        attempt_id: str,
        job_id: str,
        deadline: Deadline,
        headers: Mapping[str, str] | None = None,
        on_event: OnEvent | None = None,
    ) -> Received | Broken:
        """Send a request and wait for the whole body, until the deadline at most, in wall-clock time.

        An answer that may be long is streamed, and so is an answer with a listener, `on_event`.
        """
        started, stream = time.monotonic(), IncomingStream(on_event)
        is_streamed = self._address.takes_stream and (deadline.is_long or on_event is not None)
        sent_as = {**(headers or {}), "x-stepdown-attempt": attempt_id, "x-stepdown-job": job_id}
        body = {"model": model, **params, **({"stream": True} if is_streamed else {})}
        times = StreamTimes(deadline, now=self._clock())
        try:
            end = await self._cuttable(self._send(body, sent_as, stream, times), started)
        except TimeoutError as error:
            is_ours = not isinstance(error, aiohttp.ClientError)
            end = _timed_out(times.waited_for, _since(started)) if is_ours else _broken(error, _since(started))
        except StreamError as error:
            detail = f"the stream cannot be read: {error}"
            end = Broken(how="malformed", detail=detail, latency_ms=_since(started))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            end = _broken(error, _since(started))
        end = end if isinstance(end, Received) else stream.ended(end)
        if isinstance(end, Broken):
            return end
        return replace(end, cloud=self._address.cloud, is_direct=self._address.is_direct)

    async def _send(
        self, body: Mapping[str, Any], headers: Mapping[str, str], stream: IncomingStream, times: StreamTimes
    ) -> Received | Broken:
        started = time.monotonic()
        if isinstance(request := await self._request(body, headers), Broken):
            return request
        early = self._early.get(body["model"], 0)
        if "stream" in body and len(request.body) <= early:
            times.expect_early()
        # A redirect that is followed would be a second request, without its row. A signature covers the very address.
        post = self._session.post(
            URL(request.url, encoded=True), data=request.body, headers=request.headers, allow_redirects=False
        )
        async with asyncio.timeout_at(times.until) as timeout, post as response:
            stream.headers = {name: response.headers[name] for name in _HEADERS if name in response.headers}
            if response.status != _OK or response.content_type != _EVENTS:
                timeout.reschedule(times.of_plain_reply())
                reply = await response.read()
                return Received(status=response.status, headers=stream.headers, body=reply, latency_ms=_since(started))
            async for chunk in response.content.iter_any():
                sign = stream.feed(chunk)
                if stream.message.error is not None:
                    break
                if sign:
                    is_whole, has_pinged = stream.message.is_whole, stream.message.has_pinged
                    until = times.after(sign, now=self._clock(), is_whole=is_whole, has_pinged=has_pinged)
                    timeout.reschedule(until)
        if times.has_begun_early:
            self._early[body["model"]] = max(early, len(request.body))
        return Broken(how="cut", detail="the stream ended in the middle", latency_ms=_since(started))

    async def _request(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> Signed | Broken:
        started = time.monotonic()
        try:
            text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
            if self._address.sign is None:
                return Signed(url=f"{self._address.url}/v1/messages", headers=headers, body=text)
            async with asyncio.timeout(_SIGN_S):
                return await self._address.sign(body, headers)
        except UnicodeEncodeError:
            detail = "no request was made: a text holds half a surrogate pair; remove it"
            return Broken(how="bad_request", detail=detail, latency_ms=_since(started))
        except Exception as error:  # noqa: BLE001 - the SDK, botocore and google-auth have no common error
            detail = f"no request was made: nobody could sign it: {_named(error)}"
            return Broken(how="unauthorized", detail=detail, latency_ms=_since(started))

    async def exchange(
        self,
        method: str,
        path: str,
        *,
        timeout_s: float,
        silence_s: float | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        into: Callable[[bytes], object] | None = None,
    ) -> Received | Broken:
        """Make one call that is no message, such as those of message batches. No fault of the network raises.

        With `into`, each part of a good body goes there at once, and the response has none. A call breaks after
        `silence_s` without a part.
        """
        started = time.monotonic()
        waits = aiohttp.ClientTimeout(total=timeout_s, sock_connect=self._connect_timeout_s, sock_read=silence_s)
        sent = {"data": body, "headers": headers, "timeout": waits, "allow_redirects": False}
        try:
            return await self._cuttable(self._exchange(method, f"{self._address.url}{path}", sent, into), started)
        except aiohttp.ClientError as error:  # also of a connection that was not made in time
            return _broken(error, _since(started))
        except TimeoutError:
            return _timed_out(f"{timeout_s:g} s", _since(started))
        except (OSError, ValueError) as error:
            return _broken(error, _since(started))

    async def _exchange(
        self, method: str, url: str, sent: Mapping[str, Any], into: Callable[[bytes], object] | None
    ) -> Received:
        started, reply = time.monotonic(), bytearray()
        async with self._session.request(method, url, **sent) as response:
            kept = {name: response.headers[name] for name in _HEADERS if name in response.headers}
            take = into if into is not None and response.status == _OK else reply.extend
            async for part in response.content.iter_any():
                take(part)
        return Received(status=response.status, headers=kept, body=bytes(reply), latency_ms=_since(started))

    async def _cuttable(self, sending: Coroutine[Any, Any, Received | Broken], started: float) -> Received | Broken:
        """Await a call that `cut` can end."""
        sent = asyncio.ensure_future(sending)
        self._in_flight.add(sent)
        sent.add_done_callback(self._in_flight.discard)
        try:
            return await sent
        except asyncio.CancelledError:
            if (job := asyncio.current_task()) is not None and job.cancelling():
                raise
            return Broken(how="cut", detail="the worker was stopped during the call", latency_ms=_since(started))

    async def facts(self, model: str) -> Mapping[str, Any] | None:
        """Return the API's facts of a model, at no cost. Empty if the API has no such model, None without an answer."""
        request = self._session.get(f"{self._address.url}/v1/models/{model}", allow_redirects=False)
        try:
            async with asyncio.timeout(_FACTS_S), request as response:
                status, text = response.status, await response.read()
            body = {} if status == _NOT_FOUND else json.loads(text)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
            return None
        return body if status in (_OK, _NOT_FOUND) and isinstance(body, dict) else None

    async def cut(self) -> None:
        """End the calls in flight at once; each may be billed all the same."""
        for call in self._in_flight:
            call.cancel()

    async def close(self) -> None:
        """End the connections."""
        await self._session.close()


def probing_socket(address: tuple[Any, ...]) -> socket.socket:
    """Make a socket that probes its peer after a minute of silence, and gives up after two minutes of silence.

    The probes also keep a connection open in a NAT gateway, which drops silent connections: in AWS after 350 s.
    """
    family, kind, protocol, *_ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _PROBES.items():
        if (option := getattr(socket, name, None)) is not None:  # each system has its own options
            made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made


def _proxy_for(scheme: str, host: str) -> str | None:
    """Return the proxy that the environment names for an address. aiohttp would look again for each request."""
    proxies = getproxies()
    return None if proxy_bypass(host) else proxies.get(scheme) or proxies.get("all")


def _broken(error: Exception, latency_ms: int) -> Broken:
    # A header that cannot be written, such as a key with a line break, is refused before sending.
    nothing_sent = isinstance(error, (*_NOTHING_SENT, ValueError))
    return Broken(how="unreachable" if nothing_sent else "cut", detail=_named(error), latency_ms=latency_ms)


def _named(error: Exception) -> str:
    return line(f"{type(error).__name__}: {error}") or type(error).__name__


def _timed_out(waited_for: str, latency_ms: int) -> Broken:
    detail = f"no complete reply within {waited_for}"
    return Broken(how="timed_out", detail=detail, latency_ms=latency_ms, deadline=waited_for)


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
