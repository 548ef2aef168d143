"""Reads a request's body as JSON, within a limit, and refuses what is none."""

import json
from reprlib import repr as shown
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from producer.files.formats import from_json
from producer.web.refusal import Refusal

_MB = 1024 * 1024
LARGEST_MESSAGE, LARGEST_BATCH = 32 * _MB, 256 * _MB
MOST_PROMPTS = 100_000  # in a batch
_LARGE = _MB  # parsed beside the event loop


async def read_object(request: Request, *, most_bytes: int) -> dict[str, Any]:
    """Read an object. Raises Refusal: 413 above `most_bytes`, 400 for anything but an object in JSON."""
    if (encoding := request.headers.get("content-encoding", "identity")) != "identity":
        raise Refusal(400, f"content-encoding: {shown(encoding)} is not taken; send the body as it is")
    raw = await _read(request, most_bytes)
    value = await run_in_threadpool(_parsed, raw) if len(raw) > _LARGE else _parsed(raw)
    if not isinstance(value, dict):
        raise Refusal(400, "the body should be a JSON object")
    return value


async def _read(request: Request, most_bytes: int) -> bytes:
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told[:20]) > most_bytes:
        raise _too_large(most_bytes)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most_bytes:
            raise _too_large(most_bytes)
    return bytes(body)


def _too_large(most_bytes: int) -> Refusal:
    return Refusal(413, f"the body is larger than {most_bytes // _MB} MB")


def _parsed(raw: bytes) -> Any:
    try:
        return from_json(raw.decode())
    except UnicodeDecodeError as error:
        problem = f"it is not UTF-8 (byte {error.start + 1})"
    except json.JSONDecodeError as error:
        problem = f"{error.msg} at line {error.lineno}, character {error.colno}"
    except (ValueError, RecursionError) as error:
        problem = f"it holds what nobody writes ({type(error).__name__})"
    raise Refusal(400, f"the body is not JSON: {problem}")
