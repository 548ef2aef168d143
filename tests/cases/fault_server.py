"""Plays the API as one case's script says: `fault_server.py SCRIPT LOG` prints its port, and logs each call as JSON.

A script has `answer(n, body, path, headers)`. The returned dict holds status, headers, and `json` or `raw`; None is an
answer that is well. `other(path, method)` is for all other paths. A PUT to /case changes to the script of its body.
"""

import asyncio
import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any

from aiohttp import web

_MOST_BYTES = 64 * 2**20


def text_of(body: dict[str, Any]) -> str:
    """Join the texts of a request's messages."""
    return " ".join(
        part
        for one in body.get("messages", [])
        for part in (
            [one["content"]] if isinstance(one["content"], str) else [b.get("text", "") for b in one["content"]]
        )
    )


def ok(body: dict[str, Any], text: str = "Fine.", n: int = 0, **changes: Any) -> dict[str, Any]:
    """Make a Message; `changes` replace its fields, those of its usage one by one."""
    usage = {"input_tokens": 100, "output_tokens": 10, "service_tier": "standard", **changes.pop("usage", {})}
    content = [{"type": "text", "text": text}]
    whole = {"id": f"msg_{n:06d}", "type": "message", "role": "assistant", "model": body.get("model")}
    return {**whole, "content": content, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage, **changes}


class Api:
    """Answers calls by its script and counts them."""

    def __init__(self, script: str, log: Path) -> None:
        self._log = log
        self._load(script)

    def _load(self, path: str) -> None:
        spec = importlib.util.spec_from_file_location("script", path)
        if spec is None or spec.loader is None:
            raise FileNotFoundError(path)
        self._script: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self._script)
        vars(self._script).update(ok=ok, text_of=text_of)
        self._count = 0

    async def change(self, request: web.Request) -> web.Response:
        """Go on with another script."""
        self._load(await request.text())
        return web.Response()

    async def messages(self, request: web.Request) -> web.Response:
        """Answer one call."""
        self._count += 1
        number = self._count
        body = json.loads(await request.read() or b"{}")
        got = self._script.answer(number, body, request.path, dict(request.headers)) or {"json": ok(body, n=number)}
        await asyncio.sleep(got.get("delay", 0))
        self._write(path=request.path, model=body.get("model"), text=text_of(body)[:80], status=got.get("status", 200))
        return _response(got, number)

    async def other(self, request: web.Request) -> web.Response:
        """Answer what is no call."""
        self._write(path=request.path, method=request.method)
        reported = self._script.other(request.path, request.method) if hasattr(self._script, "other") else None
        error = {"type": "error", "error": {"type": "not_found_error", "message": "not here"}}
        return _response(reported or {"status": 404, "json": error}, 0)

    def _write(self, **reported: Any) -> None:
        with self._log.open("a") as log:
            log.write(json.dumps({"at": time.time(), **reported}) + "\n")


def _response(got: dict[str, Any], number: int) -> web.Response:
    raw = got.get("raw")
    data = json.dumps(got.get("json")) if raw is None else raw
    kind = "application/json" if raw is None else "text/html; charset=UTF-8"
    headers = {"request-id": f"req_{number:06d}", "content-type": kind, **got.get("headers", {})}
    return web.Response(status=got.get("status", 200), headers=headers, body=data.encode("utf-8", "surrogatepass"))


async def main(script: str, log: Path) -> None:
    """Serve until the process ends."""
    api, app = Api(script, log), web.Application(client_max_size=_MOST_BYTES)
    app.router.add_post("/v1/messages", api.messages)
    app.router.add_put("/case", api.change)
    app.router.add_route("*", "/{tail:.*}", api.other)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
