"""`stepdown mcp --http`: the HTTP side of a server, on loopback, or behind a token."""

import secrets
from typing import Any

import uvicorn
from mcp.server import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from models.errors import InputError
from producer.output.terminal import hint
from producer.prompt.check_prompt import MAX_REQUEST_BYTES
from producer.running.listening import is_loopback, listening, url_of

PATH = "/mcp"
_SOURCE = "stepdown mcp"
_END_S = 3  # for replies on their way; the ledger has the batches already
_NO_TOKEN = "send the token as Authorization: Bearer TOKEN (the server's MCP_TOKEN)"  # noqa: S105 - a sentence


def serve(server: MCPServer[Any], *, host: str, port: int, token: str | None) -> None:
    """Serve until a signal, and name the address on stderr. Raises InputError if the port or address is taken."""
    if token is None and not is_loopback(host):
        problem = f"{host} is open to other machines: set MCP_TOKEN, or listen on 127.0.0.1"
        raise InputError(problem, source=_SOURCE, field="--host")
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        max_request_body_size=MAX_REQUEST_BYTES,
        transport_security=_security(host, token),
    )
    with listening(host, port, source=_SOURCE) as listener:
        hint(f"stepdown mcp: {url_of(listener, host)}{PATH}{'' if token else ' (loopback only)'}")
        config = uvicorn.Config(
            app if token is None else guarded(app, token),
            log_config=None,  # uvicorn's own would write each request to stdout
            lifespan="on",
            ws="none",
            timeout_graceful_shutdown=_END_S,
        )
        uvicorn.Server(config).run(sockets=[listener])


def guarded(app: ASGIApp, token: str) -> ASGIApp:
    """Refuse a request without the token."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and not _shows(Headers(scope=scope), token):
            refused = JSONResponse({"error": _NO_TOKEN}, status_code=401, headers={"www-authenticate": "Bearer"})
            await refused(scope, receive, send)
            return
        await app(scope, receive, send)

    return guard


def _shows(headers: Headers, token: str) -> bool:
    kind, _, shown = headers.get("authorization", "").partition(" ")
    return kind.lower() == "bearer" and secrets.compare_digest(shown.strip().encode(), token.encode())


def _security(host: str, token: str | None) -> TransportSecuritySettings:
    """Refuse requests that a browser on this machine sends for a page of another site; a token refuses these, too."""
    if token is not None:
        return TransportSecuritySettings(enable_dns_rebinding_protection=False)
    names = ["127.0.0.1", "localhost", "[::1]", host]
    return TransportSecuritySettings(
        allowed_hosts=[f"{name}:*" for name in names], allowed_origins=[f"http://{name}:*" for name in names]
    )
