"""The settings, read from the environment once at each entry point and checked before anything starts."""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.callers import Caller, caps_of, read_callers
from models.chain.chain import Chain, parse_autos, parse_chain, parse_groups, parse_requests_per_minute, parse_starts
from models.endpoints import Endpoint, check_chain, read_endpoints, shared_groups
from models.errors import Mistake, SettingsError
from models.job.task_kinds import JobTerms, parse_climbs, read_kinds
from models.money.cap_settings import Usd, parse_caps
from models.money.price_book import PriceBook
from models.money.pricing import Price, parse_costs
from models.outcome import OnKeyTrouble, Outcome

DEFAULT_CHAIN = "claude-opus-4-7,claude-sonnet-4-6,claude-haiku-4-5-20251001"
_SECRETS = ("anthropic_api_key", "anthropic_admin_key", "redis_url", "database_url", "flower_password", "mcp_token")
_PASTED = {*_SECRETS} - {"flower_password"}  # none of these begins or ends with a space
_DAY_S = 86_400
_TEN_YEARS_S = 3650 * _DAY_S
_API_PATH = re.compile(r"(/v1(/messages|/models)?)?/*$")
_BROKER_NUMBER = re.compile(r"/?[0-9]*")
_REDIS_FIX = "should be redis://user:password@host:6379/0 (rediss:// with TLS); percent-encode the password"
_HTTP_FIX = "should begin with https:// (or http:// for a simulator on this machine) and name a host"


def _key(key: SecretStr) -> SecretStr:
    # The key goes into a header. An unsendable character would fail at the first call, with the key in the error.
    if not (key.get_secret_value().isascii() and key.get_secret_value().isprintable()):
        raise ValueError("holds a character that no key has, a line break perhaps; copy it again")
    return key


def _http_url(url: str) -> str:
    parts = _split(url, _HTTP_FIX)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(_HTTP_FIX)
    return url


def _base_url(url: str) -> str:
    """Remove the API's own path: clients of other makers need the path in the address, the SDK appends the path."""
    return _API_PATH.sub("", _http_url(url))


def _redis_url(url: SecretStr) -> SecretStr:
    parts = _split(url.get_secret_value(), _REDIS_FIX)
    # A slash, a question mark or a hash in a password ends the host early. The rest is then read as one of these.
    is_cut = parts.fragment or "@" in parts.query or not _BROKER_NUMBER.fullmatch(parts.path)
    if parts.scheme not in {"redis", "rediss"} or is_cut:
        raise ValueError(_REDIS_FIX)
    return url


def _split(url: str, fix: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # the property checks the port
    except ValueError:  # its text quotes the URL, and so the password
        raise ValueError(fix) from None
    return parts


def _flower_user(user: str) -> str:
    if ":" in user or "," in user:
        raise ValueError("should hold neither : nor , since Flower would read another name and password")
    return user


def _flower_password(password: SecretStr) -> SecretStr:
    if "," in password.get_secret_value():
        raise ValueError("should hold no comma, since Flower would read a second user after it")
    return password


def _readable(path: Path) -> Path:
    try:
        path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot be read ({type(error).__name__}); name a readable text file") from None
    return path


_Key: TypeAlias = Annotated[SecretStr, AfterValidator(_key)]
_RedisURL: TypeAlias = Annotated[SecretStr, AfterValidator(_redis_url)]
_SecretFile: TypeAlias = Annotated[Path, AfterValidator(_readable)]


class Settings(BaseSettings):
    """Every setting; the variable is the field's name in capitals. Names of seconds end in _s."""

    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True)

    anthropic_api_key: _Key | None = None
    anthropic_api_key_file: _SecretFile | None = None
    anthropic_admin_key: _Key | None = None
    anthropic_admin_key_file: _SecretFile | None = None
    anthropic_base_url: Annotated[str, AfterValidator(_base_url)] = "https://api.anthropic.com"
    endpoints_file: Path | None = None
    model_chain: str = DEFAULT_CHAIN
    model_costs: str = ""
    task_starts: str = ""
    limit_groups: str = ""
    requests_per_minute: str = ""
    climb_on: str = ""
    explore_share: Decimal = Field(default=Decimal("0.02"), ge=0, le=Decimal("0.1"), allow_inf_nan=False)
    explore_per_day: int = Field(default=200, ge=0)
    tasks_file: Path | None = None

    redis_url: _RedisURL | None = None
    redis_url_file: _SecretFile | None = None
    database_url: SecretStr = SecretStr("sqlite:///.stepdown/ledger.db")
    database_url_file: _SecretFile | None = None
    database_connections: int = Field(default=8, ge=2, le=200)
    state_dir: Path = Path(".stepdown")

    worker_concurrency: int = Field(default=1000, ge=1, le=5000)
    call_timeout_s: float = Field(default=120, gt=0, le=3600)
    connect_timeout_s: float = Field(default=5, gt=0, le=120)
    lease_s: float = Field(default=30, ge=1, le=_DAY_S)
    drain_s: float = Field(default=25, ge=0, le=_DAY_S)
    job_deadline_s: float = Field(default=_DAY_S, gt=0, le=_TEN_YEARS_S)
    patience_s: float = Field(default=5, ge=0, le=_DAY_S)
    probe_every_s: float = Field(default=5, gt=0, le=_DAY_S)
    key_pause_s: float = Field(default=60, gt=0, le=_DAY_S)
    on_key_trouble: OnKeyTrouble = "wait"
    clock_tick_s: float = Field(default=1, ge=0.05, le=60)
    queue_window: int = Field(default=2000, ge=1)
    urgent_concurrency: int = Field(default=8, ge=1, le=2000)
    day_cap_usd: Usd | None = None
    task_caps_usd: str = ""
    tag_caps_usd: str = ""
    callers_file: Path | None = None
    repeated_batch: Literal["new", "same"] = "new"
    served_batches: Literal["half_price", "live"] = "half_price"
    over_cap: Literal["wait", "fail"] = "wait"
    max_depth: int = Field(default=5, ge=1, le=1000)
    tree_cap_usd: Usd | None = None
    half_price_usual_s: float = Field(default=7200, ge=0, le=_DAY_S)
    half_price_grace_s: float = Field(default=300, ge=0, le=_DAY_S)
    half_price_live_s: float = Field(default=900, ge=1, le=_DAY_S)
    half_price_lost_s: float = Field(default=900, ge=0.1, le=_DAY_S)
    half_price_poll_s: float = Field(default=60, ge=0.05, le=3600)
    review_every_s: float = Field(default=60, ge=0.05, le=_DAY_S)
    health_min_jobs: int = Field(default=20, ge=1)
    health_degraded_percent: int = Field(default=25, ge=1, le=100)
    health_unreliable_percent: int = Field(default=50, ge=1, le=100)
    hold_above_usd: Decimal = Field(default=Decimal("0.05"), ge=0, allow_inf_nan=False)
    prompt_cache: Literal["on", "off"] = "on"
    pause_batch_after: int = Field(default=25, ge=0)
    min_free_mb: int = Field(default=64, ge=0)
    stepdown_failpoint: str = ""

    flower_user: Annotated[str, AfterValidator(_flower_user)] = "stepdown"
    flower_password: Annotated[SecretStr, AfterValidator(_flower_password)] | None = None
    mcp_max_cost_usd: Usd = Decimal(1)
    mcp_token: _Key | None = None
    mcp_token_file: _SecretFile | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, values: dict[str, Any]) -> dict[str, Any]:
        pasted = {name: values[name].strip() for name in _PASTED if isinstance(values.get(name), str)}
        values = values | pasted
        for name in _SECRETS:
            path = values.get(f"{name}_file")
            if path and not values.get(name):
                with suppress(OSError, ValueError):  # the file's own field reports the problem
                    values[name] = Path(path).read_text(encoding="utf-8").strip()
        return {name: value for name, value in values.items() if value != ""}

    @cached_property
    def chain(self) -> Chain:
        """MODEL_CHAIN with TASK_STARTS, LIMIT_GROUPS and REQUESTS_PER_MINUTE."""
        models = parse_chain(self.model_chain)
        check_chain(self.model_chain, models, self.endpoints)
        starts, groups = parse_starts(self.task_starts, models), parse_groups(self.limit_groups, models)
        groups = shared_groups(models, self.endpoints) | groups
        chain = Chain(models=models, starts=starts, autos=parse_autos(self.task_starts), groups=groups)
        return replace(chain, requests_per_minute=parse_requests_per_minute(self.requests_per_minute, chain))

    @cached_property
    def namespace(self) -> str:
        """Return a word that separates one key's limits and caches in Redis from another's, without showing the key."""
        key = self.anthropic_api_key.get_secret_value() if self.anthropic_api_key else ""
        return hashlib.sha256(f"{self.anthropic_base_url} {key}".encode()).hexdigest()[:16]

    @cached_property
    def endpoints(self) -> dict[str, Endpoint]:
        """ENDPOINTS_FILE: the endpoints beside the usual one, by name."""
        return {} if self.endpoints_file is None else read_endpoints(self.endpoints_file)

    @cached_property
    def price_overrides(self) -> dict[str, Price]:
        """MODEL_COSTS, and the prices of ENDPOINTS_FILE, by rung."""
        stated = [endpoint.own_prices for endpoint in self.endpoints.values()]
        return {rung: price for prices in (*stated, parse_costs(self.model_costs)) for rung, price in prices.items()}

    def price_book(self, dated: Mapping[str, Sequence[Price]] | None = None) -> PriceBook:
        """Return the prices by rung: those of the settings, `dated` ones, and those of the library."""
        factors = {name: endpoint.price_factor for name, endpoint in self.endpoints.items()}
        return PriceBook(self.price_overrides, dated, factors=factors)

    @cached_property
    def task_caps(self) -> dict[str, Decimal]:
        """TASK_CAPS_USD: USD for a UTC day, by task."""
        return parse_caps("TASK_CAPS_USD", self.task_caps_usd)

    @cached_property
    def tag_caps(self) -> dict[str, Decimal]:
        """TAG_CAPS_USD, and the day caps of CALLERS_FILE: USD for a UTC day, by tag=value."""
        return caps_of(self.callers, parse_caps("TAG_CAPS_USD", self.tag_caps_usd))

    @cached_property
    def callers(self) -> tuple[Caller, ...]:
        """CALLERS_FILE: the callers that may use `stepdown serve`. Without the file only this machine may."""
        return () if self.callers_file is None else read_callers(self.callers_file)

    @cached_property
    def climbs(self) -> frozenset[Outcome]:
        """CLIMB_ON: the answers that are tried again on a better model."""
        try:
            return parse_climbs({word.strip() for word in self.climb_on.split(",")} - {""})
        except ValueError as error:
            raise SettingsError([Mistake(variable="CLIMB_ON", value=self.climb_on, fix=str(error))]) from None

    @cached_property
    def kinds(self) -> dict[str, JobTerms]:
        """TASKS_FILE: the terms of each task kind."""
        return {} if self.tasks_file is None else read_kinds(self.tasks_file, self.chain.models)

    def live_from_s(self, deadline_s: float | None = None) -> float:
        """Return the seconds after which a half-price job goes live at the latest. The default is of JOB_DEADLINE_S."""
        return max(0.0, (self.job_deadline_s if deadline_s is None else deadline_s) - self.half_price_live_s)


def load_settings(*, env_file: Path | None = Path(".env"), **overrides: Any) -> Settings:
    """Read and check all settings.

    Raises SettingsError that names every wrong variable, its value and the fix. No error shows a secret.
    """
    settings, mistakes = _read(env_file, overrides)
    for part in ("endpoints", "chain", "price_overrides", "task_caps", "tag_caps", "climbs", "kinds"):
        try:
            getattr(settings, part)
        except SettingsError as error:
            mistakes.extend(mistake for mistake in error.mistakes if mistake not in mistakes)
    if mistakes:
        raise SettingsError(mistakes)
    return settings


def child_environment(changes: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child process: ours, with `changes`."""
    return {**os.environ, **changes}


def _read(env_file: Path | None, overrides: Mapping[str, Any]) -> tuple[Settings, list[Mistake]]:
    try:
        return Settings(_env_file=env_file, **overrides), []
    except UnicodeDecodeError:
        raise SettingsError([Mistake(variable=".env", value=str(env_file), fix="save it as UTF-8 text")]) from None
    except OSError as error:
        fix = f"it cannot be read ({error.strerror}): let its reader own it"
        raise SettingsError([Mistake(variable=".env", value=str(env_file), fix=fix)]) from None
    except ValidationError as error:
        details = error.errors()
    # With the wrong settings at their defaults the others are read all the same: one run reports every mistake.
    wrong = {str(detail["loc"][0]): Settings.model_fields[str(detail["loc"][0])].default for detail in details}
    no_files = {f"{name}_file": None for name in _SECRETS}
    settings = Settings(_env_file=env_file, **{**overrides, **no_files, **wrong})
    return settings, [_mistake(detail) for detail in details]


def _mistake(detail: Any) -> Mistake:
    name = str(detail["loc"][0])
    return Mistake(
        variable=name.upper(),
        value=_shown(name, str(detail["input"])),
        fix=str(detail["msg"]).removeprefix("Value error, "),
    )


def _shown(name: str, value: str) -> str:
    # People put the secret itself in the place of its file's name, and a password into any URL.
    is_file = name.removesuffix("_file") in _SECRETS
    is_secret = name in _SECRETS or "@" in value or (is_file and ("://" in value or len(Path(value).parts) == 1))
    return "(hidden)" if is_secret else value
