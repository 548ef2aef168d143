"""How a reply reaches the caller: whole, as a stream, late, in drops, cut off, or never."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

from aiohttp import web

from producer.simulator.answer.stream import PING

if TYPE_CHECKING:
    from producer.simulator.simulation import Reply

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing sends RST instead of FIN
_FOREVER_S = 86_400.0
_HEAD = 61  # bytes of an event in its first packet


async def deliver(request: web.Request, reply: Reply) -> web.StreamResponse:
    """Send a reply; for a broken connection the response returned here goes nowhere."""
    if reply.delivery == "hang":
        await asyncio.sleep(_FOREVER_S)
    if reply.events and reply.delivery != "reset_before":
        return await _stream(request, reply)
    if reply.delay_s:
        await asyncio.sleep(reply.delay_s)
    match reply.delivery:
        case "drip":
            return await _drip(request, reply)
        case "reset_before":
            _reset(request)
        case "reset_after":
            await _send_half(request, reply)
            _reset(request)
        case "stall" | "pings":
            await _send_half(request, reply)
            await asyncio.sleep(_FOREVER_S)
        case "cut" | "error_event":
            await _send_half(request, reply)
            if request.transport is not None:
                request.transport.close()
    return web.Response(
        status=reply.status, body=reply.body, headers={"content-type": reply.content_type, **reply.headers}
    )


async def _stream(request: web.Request, reply: Reply) -> web.StreamResponse:
    """Send events as they are generated: all, or some before the stream breaks. Each packet ends within an event."""
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_type = "text/event-stream"
    await asyncio.sleep(reply.first_s)
    await response.prepare(request)
    is_whole = reply.delivery in ("whole", "drip")
    events = reply.events if is_whole else reply.events[: reply.sent]
    pause_s = reply.every_s if reply.delivery == "drip" else (reply.delay_s - reply.first_s) / len(reply.events)
    for event in events:
        await response.write(event[:_HEAD])
        await response.write(event[_HEAD:])
        if pause_s:
            await asyncio.sleep(pause_s)
    match reply.delivery:
        case "stall":
            await asyncio.sleep(_FOREVER_S)
        case "error_event":
            await response.write(reply.error)
        case "pings":
            while True:
                await response.write(PING)
                await asyncio.sleep(reply.every_s)
        case "reset_after":
            _reset(request)
        case "cut" if request.transport is not None:
            request.transport.close()
    return response


async def _drip(request: web.Request, reply: Reply) -> web.StreamResponse:
    """Send a valid body byte by byte, all but its last brace, and then blanks, which are valid too."""
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_type = reply.content_type
    await response.prepare(request)
    position = 0
    while True:
        await response.write(reply.body[position : position + 1] if position < len(reply.body) - 1 else b" ")
        position += 1
        await asyncio.sleep(reply.every_s)


async def _send_half(request: web.Request, reply: Reply) -> None:
    """Promise the whole body and send the first half."""
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_type = reply.content_type
    response.content_length = len(reply.body)
    await response.prepare(request)
    await response.write(reply.body[: len(reply.body) // 2 if reply.half is None else reply.half])


def _reset(request: web.Request) -> None:
    """End the connection with a TCP reset."""
    if request.transport is None:
        return
    sock = request.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    request.transport.abort()
