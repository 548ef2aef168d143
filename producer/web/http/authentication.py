"""Authenticates callers. Each request gets an id, and no text of a request reaches a log."""

import asyncio
import logging
import traceback
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.callers import LOCAL, Caller, caller_with
from models.ids import new_id
from producer.running.listening import is_loopback
from producer.web.http.errors import Refusal
from producer.web.http.limits import Limits
from producer.web.http.request import KEY

OPEN_PATHS = frozenset({"/healthz", "/api/v1/openapi.json"})
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "via")
_ONLY_LOCAL = "without CALLERS_FILE this server is for programs on its own machine"
_NO_TOKEN = "give the token of a caller as x-api-key, or as Authorization: Bearer"  # noqa: S105 - no token
_STOPPING = "this server stops before the answer is there; a job that had not begun is cancelled, unless it has a key"
_BEARER = "bearer "
_HTTP = 80
_OWN = ("same-origin", "none")  # a browser's words for a page of this server, and for no page at all

_log = logging.getLogger("stepdown.serve")


class Authentication:
    """Passes requests on to `app`, each with `state.caller` and `state.request_id`."""

    def __init__(self, app: ASGIApp, *, callers: Sequence[Caller], limits: Limits) -> None:
        self._app = app
        self._callers = callers
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401, 403 or 429 here, and 500 after an unexpected error."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"req_{new_id().replace('-', '')}"
        has_begun = False
        caller: Caller | None = None

        async def numbered(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                headers = {"request-id": request_id, **await self._limits.headers(caller)}
                has_begun = True
                message["headers"] = [*message["headers"], *((n.encode(), v.encode()) for n, v in headers.items())]
            await send(message)

        try:
            caller = self._caller(scope)
            scope.setdefault("state", {}).update(caller=caller, request_id=request_id)
            self._limits.take(caller, scope["method"])
            await self._app(scope, receive, numbered)
        except Refusal as error:
            refusal = error
        except ClientDisconnect:
            return
        except asyncio.CancelledError:  # not raised: the server would log a traceback at its own end
            is_for_good = not Headers(scope=scope).get(KEY, "").strip()  # under a key the next request is that job
            refusal = Refusal(503, _STOPPING, is_for_good=is_for_good)
        except Exception as error:  # noqa: BLE001 - its text may quote a prompt: the log has the place alone
            _log.error(
                "%s failed: %s\n%s", request_id, type(error).__name__, "".join(traceback.format_tb(error.__traceback__))
            )
            refusal = Refusal(500, "this server has a mistake; its log has the request's id")
        else:
            return
        if not has_begun:
            await error_response(refusal, request_id)(scope, receive, numbered)

    def _caller(self, scope: Scope) -> Caller | None:
        headers = Headers(scope=scope)
        if scope["path"] in OPEN_PATHS and self._callers:
            return None
        if not self._callers:
            _require_local(scope, headers)
            return LOCAL
        found = caller_with(_token(headers), self._callers)
        if found is None:
            raise Refusal(401, f"no caller has this token; {_NO_TOKEN}" if _token(headers) else _NO_TOKEN)
        return found


def error_response(refusal: Refusal, request_id: str) -> JSONResponse:
    """Return a refusal as a response."""
    return JSONResponse(refusal.body(request_id), status_code=refusal.status, headers=refusal.headers)


def _require_local(scope: Scope, headers: Headers) -> None:
    """Refuse requests from elsewhere, also through a proxy or through a page in a browser on this machine."""
    peer = scope.get("client")
    if peer is None or not is_loopback(str(peer[0])):
        raise Refusal(403, f"{_ONLY_LOCAL}, and you are not on it")
    if any(name in headers for name in _FORWARDED):
        raise Refusal(403, f"{_ONLY_LOCAL}, and this request came through a proxy")
    here = (scope.get("server") or (None, None))[1]
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not _is_here(f"http://{hosts[0]}", here):
        raise Refusal(403, f"{_ONLY_LOCAL}: call it by 127.0.0.1 or localhost, and its own port {here}")
    origins = headers.getlist("origin")
    if any(origin != f"http://{hosts[0]}" for origin in origins) or headers.get("sec-fetch-site", "none") not in _OWN:
        raise Refusal(403, f"{_ONLY_LOCAL}, not for pages of other addresses, other ports of this machine included")


def _is_here(address: str, port: int | None) -> bool:
    try:
        found = urlsplit(address)
        return is_loopback(found.hostname or "") and (found.port or _HTTP) == port and not found.path
    except ValueError:
        return False


def _token(headers: Headers) -> str:
    authorization = headers.get("authorization", "")
    if authorization[: len(_BEARER)].lower() == _BEARER:
        return authorization[len(_BEARER) :].strip()
    return headers.get("x-api-key", "").strip()
