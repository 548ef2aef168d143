"""Asks the provider's API what costs nothing: how long a prompt is, and what it has billed.

The SDK takes seconds to import and is the worker's; these are plain requests with JSON answers.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPMessage
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from models.chain.provider_error import read_error
from models.errors import ApiError, InputError, Mistake, SettingsError
from models.settings import Settings
from producer.output.terminal import terminal_text

_VERSION = "2026-10-21"  # what anthropic 2.12.0 sends
_TIMEOUT_S = 30
_TRIES = 5
_LOOK_S = 5
_MOST_LOOKED = 1_000_000  # bytes
_AGAIN = {429, 500, 502, 503, 504, 529}
_ABOUT_THE_KEY = {401, 403}
_LONGEST_WAIT_S = 60.0
_LONGEST_TOLD = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A reply as it came, whatever its status."""

    status: int
    body: bytes
    location: str = ""


class _NoRedirects(HTTPRedirectHandler):
    """Another host must not be sent the key."""

    def redirect_request(
        self,
        req: Request,  # noqa: ARG002 - the shape urllib calls
        fp: IO[bytes],  # noqa: ARG002
        code: int,  # noqa: ARG002
        msg: str,  # noqa: ARG002
        headers: HTTPMessage,  # noqa: ARG002
        newurl: str,  # noqa: ARG002
    ) -> None:
        """Follow none: it is an error then."""
        return


def _opener() -> OpenerDirector:
    return build_opener(_NoRedirects())


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The API at `base_url`, asked with the key of the setting `variable`."""

    base_url: str
    variable: str
    key: str
    headers: Mapping[str, str] = field(default_factory=dict)
    sleep: Callable[[float], None] = time.sleep
    opener: OpenerDirector = field(default_factory=_opener)

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """GET a path with its query, or POST a body as JSON; busy answers are asked again, up to five times.

        Raises ApiError where nothing comes of it, SettingsError for a key that is refused, InputError for a request
        that is.
        """
        request = self._request(path, body)
        for tried in range(1, _TRIES + 1):
            try:
                with self.opener.open(request, timeout=_TIMEOUT_S) as response:
                    return _object(response.read())
            except HTTPError as error:
                with error:
                    if error.code not in _AGAIN or tried == _TRIES:
                        raise self._refused(error, path) from None
                    self.sleep(_wait_s(error.headers.get("retry-after"), tried))
            except (OSError, HTTPException, ValueError) as error:
                raise self._silent(error) from None
        raise AssertionError  # the last try returns or raises

    def look(self, path: str, body: Mapping[str, Any] | None = None, *, timeout_s: float = _LOOK_S) -> Looked:
        """GET a path once, or POST a body, and return the reply of any status. Raises ApiError where none comes."""
        try:
            with self.opener.open(self._request(path, body), timeout=timeout_s) as response:
                return Looked(status=response.status, body=response.read(_MOST_LOOKED))
        except HTTPError as error:
            with error:
                location = str(error.headers.get("location") or "")
                return Looked(status=error.code, body=error.read(_MOST_LOOKED), location=location)
        except (OSError, HTTPException, ValueError) as error:
            raise self._silent(error) from None

    def _silent(self, error: Exception) -> ApiError:
        reason = getattr(error, "reason", None) or error
        return ApiError(f"{self.host()} gives no answer ({reason}): look at ANTHROPIC_BASE_URL")

    def _request(self, path: str, body: Mapping[str, Any] | None) -> Request:
        headers = {
            "Authorization": f"Bearer {self.key}",
            "anthropic-version": _VERSION,
            "content-type": "application/json",
            **self.headers,
        }
        data = None if body is None else json.dumps(body).encode()
        address = self.base_url.rstrip("/") + path
        return Request(address, data=data, headers=headers)  # noqa: S310 - the settings take http and https only

    def _refused(self, error: HTTPError, path: str) -> Exception:
        said = f"{self.host()} said {error.code}: {_told(error)}"
        if error.code in _ABOUT_THE_KEY:
            fix = f"{said}; is it the right key, and of this organization?"
            return SettingsError([Mistake(variable=self.variable, value="(hidden)", fix=fix)])
        if error.code in _AGAIN or error.code < 400:  # noqa: PLR2004 - a redirect
            return ApiError(said)
        return InputError(said, source=urlsplit(path).path)

    def host(self) -> str:
        """Name the host, and its port where the address has one."""
        where = urlsplit(self.base_url)
        return f"{where.hostname}" if where.port is None else f"{where.hostname}:{where.port}"


def api_of(settings: Settings) -> Api:
    """Open the API with ANTHROPIC_API_KEY. Raises SettingsError where it is not set."""
    return _opened(settings, "anthropic_api_key", "put it in .env")


def admin_api_of(settings: Settings, **headers: str) -> Api:
    """Open the organization's own API with ANTHROPIC_ADMIN_KEY. Raises SettingsError where it is not set."""
    return _opened(settings, "anthropic_admin_key", "an admin makes one in the Console, sk-ant-admin...", headers)


def _opened(settings: Settings, name: str, fix: str, headers: Mapping[str, str] | None = None) -> Api:
    key = getattr(settings, name)
    if key is None:
        raise SettingsError([Mistake(variable=name.upper(), value="(empty)", fix=f"it is not set: {fix}")])
    return Api(
        base_url=settings.anthropic_base_url, variable=name.upper(), key=key.get_secret_value(), headers=headers or {}
    )


def _object(body: bytes) -> dict[str, Any]:
    answer = json.loads(body)
    if not isinstance(answer, dict):
        message = "it is no JSON object"
        raise ValueError(message)  # noqa: TRY004 - caught above, with what is no JSON at all
    return answer


def _told(error: HTTPError) -> str:
    try:
        said = read_error(error.read(_MOST_LOOKED)).text
    except (OSError, HTTPException, ValueError):
        said = ""
    return terminal_text((said or str(error.reason))[:_LONGEST_TOLD])


def _wait_s(retry_after: str | None, tried: int) -> float:
    try:
        return min(_LONGEST_WAIT_S, max(0.0, float(retry_after or "")))
    except ValueError:
        return float(2**tried) / 2
