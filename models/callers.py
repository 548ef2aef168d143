"""Who may use `stepdown serve`: each caller's token, the tags of its batches, and what a day of it may cost."""

import hashlib
import hmac
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from reprlib import repr as shown
from typing import Any

from models.errors import InputError, Mistake, SettingsError
from models.ids import new_id
from models.money.caps import usd
from models.toml_file import read_toml

CALLER = "caller"  # the tag that names whose batch it is
CALLER_CAP = "caller_day_cap_usd"  # and what a UTC day of all of them may cost
VIA = "via"  # the tag that names the door a batch came through
MCP_TAGS = {VIA: "mcp"}  # TAG_CAPS_USD=via=mcp:5 caps the day of all that is asked through `stepdown mcp`
DELETED = "deleted/"
_KEPT_KEYS = {
    "serve/": "the callers of stepdown serve",
    "mcp/": "the clients of stepdown mcp",
    DELETED: "batches that a caller deleted",
}
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FIELDS = ("token", "token_sha256", "tags", "day_cap_usd", "requests_per_minute", "operator")
_SHORTEST_TOKEN = 16
_MOST_REQUESTS = 1_000_000
_LONGEST_TAG = 200  # the width of such columns in the ledger


class OwnKey(str):
    """An idempotency key in a namespace that this program gives: nobody else's key begins so."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """One caller. `token_sha256` is in hex, None where no token is asked for; `day_cap_usd` is for a UTC day.

    `requests_per_minute` counts what is sent to one server, None where nobody counts.
    `is_operator`: the figures of the whole fleet are for it, too; others see their own.
    """

    name: str
    token_sha256: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    day_cap_usd: Decimal | None = None
    requests_per_minute: int | None = None
    is_operator: bool = False

    @property
    def batch_tags(self) -> dict[str, str]:
        """The tags of all its batches, its name among them, and its cap: a worker heeds that without CALLERS_FILE."""
        cap = {} if self.day_cap_usd is None else {CALLER_CAP: f"{self.day_cap_usd:f}"}
        return {**self.tags, CALLER: self.name, **cap}

    def foreign_tag(self, given: Mapping[str, str], others: Collection["Caller"], capped: Iterable[str]) -> str | None:
        """Find a tag that the caller may not set: ours, a caller's in CALLERS_FILE, or one with a cap (`capped`).

        Returns None if there is none. A tag that the caller has anyway may be repeated. Without CALLERS_FILE, `others`
        is empty and all caps are those of the one who asks.
        """
        kept = [CALLER, CALLER_CAP, VIA]
        if others:
            kept += [*capped, *(tag for other in others for tag in other.tags)]
        names = {tag.partition("=")[0] for tag in kept}
        own = self.batch_tags
        # A cap counts name=value: what stands before the first sign is the name, wherever the caller puts the sign.
        foreign = (name for name, value in given.items() if name.partition("=")[0] in names and own.get(name) != value)
        return next(foreign, None)

    def key(self, *words: str) -> "OwnKey":
        """Make an idempotency key that no other caller has; with no words, what all of its keys begin with.

        >>> Caller(name="airflow").key("batch", "7")
        'serve/airflow/batch/7'
        """
        return OwnKey("/".join(["serve", self.name, *(words or [""])]))

    def own_key(self, kind: str, given: str | None) -> "OwnKey":
        """Make the key of what the caller gives one of its own, which may be any text; without one it has no equal."""
        return self.key(kind, new_id() if given is None else _digest(given))


def key_problem(key: str) -> str | None:
    """Return the reason why a person may not use a key. Return None if a person may.

    >>> key_problem("docs/1") is None
    True
    """
    kept = None if isinstance(key, OwnKey) else next((start for start in _KEPT_KEYS if key.startswith(start)), None)
    if kept is None:
        return None
    return f"{shown(key)} begins with {kept}, which is kept for {_KEPT_KEYS[kept]}; begin the key otherwise"


def mcp_key(key: str | None) -> OwnKey | None:
    """Make the key of a batch that is asked through MCP, which no other's is. Raises InputError."""
    if key is None:
        return None
    if problem := key_problem(key):
        raise InputError(problem, source="submit", field="key")
    return OwnKey(f"mcp/{key}")


LOCAL = Caller(name="local", is_operator=True)  # any process of this machine, if no CALLERS_FILE is set


def caller_with(token: str, callers: Iterable[Caller]) -> Caller | None:
    """Find whose token it is; it takes as long whoever's it is, and if it is nobody's."""
    digest = _digest(token)
    found = None
    for caller in callers:
        if caller.token_sha256 is not None and hmac.compare_digest(digest, caller.token_sha256):
            found = caller
    return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def read_callers(path: Path) -> tuple[Caller, ...]:
    """Read CALLERS_FILE: a table for each caller, named after it, in TOML. Raises SettingsError with every mistake.

    A token that is wrong is never shown.
    """
    callers, mistakes = list[Caller](), list[str]()
    tables = _tables(path)
    for name, entry in tables.items():
        wrong = [*_mistakes(name, entry)]
        mistakes += wrong
        if not wrong:
            callers.append(_caller(name, entry))
    digests = [caller.token_sha256 for caller in callers]
    if twice := next((one.name for one in callers if digests.count(one.token_sha256) > 1), None):
        mistakes.append(f"[{twice}] token: another caller has the same; give each its own")
    if not tables:
        mistakes.append("names no caller: begin each with [its-name]")
    if mistakes:
        raise SettingsError([Mistake(variable="CALLERS_FILE", value=str(path), fix=fix) for fix in mistakes])
    return tuple(callers)


def cap_told(tags: Mapping[str, str]) -> tuple[str, Decimal] | None:
    """Read whose cap the tags of a batch tell, as `caller=NAME`, and how much it is in USD; None where they tell none.

    >>> cap_told({"caller": "airflow", "caller_day_cap_usd": "5"})
    ('caller=airflow', Decimal('5'))
    """
    try:
        return f"{CALLER}={tags[CALLER]}", usd(tags[CALLER_CAP])
    except (KeyError, ValueError):  # or somebody else gave a tag that name
        return None


def caps_of(callers: Iterable[Caller], tag_caps: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Add the callers' day caps to those of TAG_CAPS_USD; raises SettingsError where both name one caller."""
    own = {f"{CALLER}={one.name}": one.day_cap_usd for one in callers if one.day_cap_usd is not None}
    if twice := sorted(own.keys() & tag_caps.keys()):
        fix = "the caller has a day_cap_usd in CALLERS_FILE too; give one of them"
        raise SettingsError([Mistake(variable="TAG_CAPS_USD", value=twice[0], fix=fix)])
    return {**tag_caps, **own}


def _caller(name: str, entry: Mapping[str, Any]) -> Caller:
    token = entry.get("token")
    cap = entry.get("day_cap_usd")
    return Caller(
        name=name,
        token_sha256=entry.get("token_sha256") or hashlib.sha256(str(token).encode()).hexdigest(),
        tags=entry.get("tags", {}),
        day_cap_usd=None if cap is None else usd(str(cap)),
        requests_per_minute=entry.get("requests_per_minute"),
        is_operator=entry.get("operator", False),
    )


def _mistakes(name: str, entry: object) -> Iterator[str]:
    if not isinstance(entry, dict):
        yield f"{name}: is no table: begin each caller with [its-name]"
        return
    if not _NAME.fullmatch(name):
        yield f"[{name}]: a caller's name has 1 to 64 of the characters a-z, A-Z, 0-9, _ and -"
    for unknown in entry.keys() - set(_FIELDS):
        yield f"[{name}] {unknown}: is unknown; choose from {', '.join(_FIELDS)}"
    if not isinstance(entry.get("operator", False), bool):
        yield f"[{name}] operator: should be true or false"
    most = entry.get("requests_per_minute", 1)
    if type(most) is not int or not 1 <= most <= _MOST_REQUESTS:
        yield f"[{name}] requests_per_minute: should be a whole number from 1 to {_MOST_REQUESTS}"
    for field_name, problem in (_token_problem(entry), _tags_problem(entry.get("tags", {})), _cap_problem(entry)):
        if problem:
            yield f"[{name}] {field_name}: {problem}"


def _token_problem(entry: Mapping[str, Any]) -> tuple[str, str | None]:
    token, digest = entry.get("token"), entry.get("token_sha256")
    if (token is None) == (digest is None):
        return "token", "give either token or token_sha256, which is its SHA-256 in hex"
    if digest is not None:
        is_right = isinstance(digest, str) and _SHA256.fullmatch(digest)
        return "token_sha256", None if is_right else "should be 64 of the characters 0-9 and a-f"
    if not isinstance(token, str) or not _is_token(token):
        return "token", f"should have at least {_SHORTEST_TOKEN} letters, digits or signs, and no space"
    return "token", None


def _is_token(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text and len(text) >= _SHORTEST_TOKEN


def _tags_problem(tags: object) -> tuple[str, str | None]:
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        return "tags", 'should be a table of texts, such as { team = "media" }'
    if taken := {CALLER, CALLER_CAP} & {name.partition("=")[0] for name in tags}:
        return "tags", f"{min(taken)} is taken: it is told of each caller's batches"
    if any(not name.strip() or max(len(name), len(value)) > _LONGEST_TAG for name, value in tags.items()):
        return "tags", f"a tag has 1 to {_LONGEST_TAG} characters"
    return "tags", None


def _cap_problem(entry: Mapping[str, Any]) -> tuple[str, str | None]:
    cap = entry.get("day_cap_usd")
    if isinstance(cap, bool):
        return "day_cap_usd", "should be USD, such as 2.50"
    try:
        usd("1" if cap is None else str(cap))
    except ValueError as error:
        return "day_cap_usd", str(error)
    return "day_cap_usd", None


def _tables(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path, parse_float=Decimal)
    except ValueError as error:
        raise SettingsError([Mistake(variable="CALLERS_FILE", value=str(path), fix=str(error))]) from None
