"""The requests to the provider's API that cost nothing: token counts, models and bills.

The SDK takes seconds to import and is the worker's. These are plain requests with JSON answers, by httpx2.
"""

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from models.chain.provider_error import read_error
from models.errors import ApiError, InputError, Mistake, SettingsError
from models.settings import Settings
from producer.output.terminal import terminal_text

# httpx2 is imported at a request only: --help and shell completion answer in a fraction of a second.
# ruff: noqa: PLC0415

_VERSION = "2026-10-21"  # the version that anthropic 2.12.0 sends
_TIMEOUT_S = 30
_TRIES = 5
_LOOK_S = 5
_MOST_LOOKED = 1_000_000  # bytes
_MOST_READ = 64_000_000  # bytes of a page of the provider's report
_AGAIN = {429, 500, 502, 503, 504, 529}
_ABOUT_THE_KEY = {401, 403}
_OK, _REDIRECT, _CLIENT_ERROR = 200, 300, 400
_LONGEST_WAIT_S = 60.0
_LONGEST_TOLD = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A reply as received, with any status; a body that is too long ends after the bound."""

    status: int
    body: bytes
    reason: str = ""
    location: str = ""
    retry_after: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The API at `base_url`, asked with the key of the setting `variable`."""

    base_url: str
    variable: str
    key: str
    headers: Mapping[str, str] = field(default_factory=dict)
    sleep: Callable[[float], None] = time.sleep

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """GET a path with its query, or POST a body as JSON; try a busy API up to five times.

        Raises ApiError if no answer comes, SettingsError if the key is refused, InputError if the request is refused.
        """
        for tried in range(1, _TRIES + 1):
            looked = self.look(path, body, timeout_s=_TIMEOUT_S, most=_MOST_READ)
            if _OK <= looked.status < _REDIRECT:
                return self._object(looked.body)
            if looked.status not in _AGAIN or tried == _TRIES:
                raise self._refused(looked, path)
            self.sleep(_wait_s(looked.retry_after, tried))
        raise AssertionError  # the last try returns or raises

    def look(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        timeout_s: float = _LOOK_S,
        most: int = _MOST_LOOKED,
    ) -> Looked:
        """GET a path once, or POST a body, and return the reply of any status.

        Raises ApiError if no whole reply comes within `timeout_s` seconds. `most` bounds the bytes of the body.
        """
        import httpx2

        try:
            return asyncio.run(self._exchange(path, body, timeout_s, most))
        except TimeoutError:
            raise self._silent(f"no whole reply within {timeout_s:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise self._silent(_cause(error)) from None

    async def _exchange(self, path: str, body: Mapping[str, Any] | None, timeout_s: float, most: int) -> Looked:
        import httpx2

        headers = {
            "Authorization": f"Bearer {self.key}",
            "anthropic-version": _VERSION,
            "content-type": "application/json",
            **self.headers,
        }
        method, content = ("GET", None) if body is None else ("POST", json.dumps(body))
        address = self.base_url.rstrip("/") + path
        # The timeout of httpx2 counts anew with each byte. Another host must not get the key.
        options: dict[str, Any] = {"timeout": None, "follow_redirects": False, "verify": _certificates()}
        async with (
            asyncio.timeout(timeout_s),
            httpx2.AsyncClient(**options) as client,
            client.stream(method, address, content=content, headers=headers) as reply,
        ):
            return Looked(
                status=reply.status_code,
                body=await _bounded(reply, most),
                reason=reply.reason_phrase,
                location=reply.headers.get("location", ""),
                retry_after=reply.headers.get("retry-after", ""),
            )

    def _silent(self, reason: object) -> ApiError:
        return ApiError(f"{self.host()} gives no answer ({reason}): look at ANTHROPIC_BASE_URL")

    def _object(self, body: bytes) -> dict[str, Any]:
        if len(body) > _MOST_READ:
            raise self._silent(f"more than {_MOST_READ:,} bytes")
        try:
            answer = json.loads(body)
        except ValueError as error:
            raise self._silent(error) from None
        if not isinstance(answer, dict):
            raise self._silent("it is no JSON object")
        return answer

    def _refused(self, looked: Looked, path: str) -> Exception:
        words = terminal_text((read_error(looked.body).text or looked.reason)[:_LONGEST_TOLD])
        message = f"{self.host()} said {looked.status}: {words}"
        if looked.status in _ABOUT_THE_KEY:
            fix = f"{message}; is it the right key, and of this organization?"
            return SettingsError([Mistake(variable=self.variable, value="(hidden)", fix=fix)])
        if looked.status in _AGAIN or looked.status < _CLIENT_ERROR:
            return ApiError(message)
        return InputError(message, source=urlsplit(path).path)

    def host(self) -> str:
        """Return the host, with the port if the address has one."""
        where = urlsplit(self.base_url)
        return f"{where.hostname}" if where.port is None else f"{where.hostname}:{where.port}"


def api_of(settings: Settings) -> Api:
    """Return the API with ANTHROPIC_API_KEY. Raises SettingsError if the key is not set."""
    return _opened(settings, "anthropic_api_key", "put it in .env")


def admin_api_of(settings: Settings, **headers: str) -> Api:
    """Return the organization's own API with ANTHROPIC_ADMIN_KEY. Raises SettingsError if the key is not set."""
    return _opened(settings, "anthropic_admin_key", "an admin makes one in the Console, sk-ant-admin...", headers)


def _opened(settings: Settings, name: str, fix: str, headers: Mapping[str, str] | None = None) -> Api:
    key = getattr(settings, name)
    if key is None:
        raise SettingsError([Mistake(variable=name.upper(), value="(empty)", fix=f"it is not set: {fix}")])
    return Api(
        base_url=settings.anthropic_base_url, variable=name.upper(), key=key.get_secret_value(), headers=headers or {}
    )


@cache
def _certificates() -> ssl.SSLContext:
    import httpx2

    return httpx2.create_ssl_context()  # which reads a file of all authorities


async def _bounded(reply: Any, most: int) -> bytes:
    body = bytearray()
    async for chunk in reply.aiter_bytes():
        body += chunk
        if len(body) > most:
            break
    return bytes(body)


def _cause(error: Exception) -> str:
    """Return the words of the system's error below an error of httpx2, whose own words are too general."""
    words, below = str(error) or type(error).__name__, error.__cause__ or error.__context__
    while below is not None:
        if isinstance(below, OSError):
            words = str(below)
        below = below.__cause__ or below.__context__
    return words


def _wait_s(retry_after: str, tried: int) -> float:
    try:
        return min(_LONGEST_WAIT_S, max(0.0, float(retry_after)))
    except ValueError:
        return float(2**tried) / 2
