"""The callers of `stepdown serve`: the token of each, the tags of its batches, and the cap of its day."""

import hashlib
import hmac
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from reprlib import repr as shown
from typing import Annotated, Any

from pydantic import AfterValidator, Field, TypeAdapter

from models.errors import InputError, Mistake, SettingsError
from models.ids import new_id
from models.money.cap_settings import Usd, usd
from models.toml_file import read_tables
from models.validation import Problem, StrictModel, validated

CALLER = "caller"  # the tag that names the caller of a batch
CALLER_CAP = "caller_day_cap_usd"  # the tag that caps a UTC day of all the caller's batches
VIA = "via"  # the tag that names the door a batch came through
MCP_TAGS = {VIA: "mcp"}  # TAG_CAPS_USD=via=mcp:5 caps a day of all batches from `stepdown mcp`
DELETED = "deleted/"
_KEPT_KEYS = {
    "serve/": "the callers of stepdown serve",
    "mcp/": "the clients of stepdown mcp",
    DELETED: "batches that a caller deleted",
}
_MOST_REQUESTS = 1_000_000
_LONGEST_TAG = 200  # the width of such columns in the ledger


class OwnKey(str):
    """An idempotency key in a namespace of this program: no person's key begins so."""

    __slots__ = ()


def _tags(tags: dict[str, str]) -> dict[str, str]:
    if taken := {CALLER, CALLER_CAP} & {name.partition("=")[0] for name in tags}:
        raise ValueError(f"{min(taken)} is taken: each caller's batches have one of this server's")
    if any(not name.strip() or max(len(name), len(value)) > _LONGEST_TAG for name, value in tags.items()):
        raise ValueError(f"a tag has 1 to {_LONGEST_TAG} characters")
    return tags


def _sha256(text: str | None) -> str | None:
    return None if text is None else hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


class Caller(StrictModel):
    """One caller, with the fields of its table in CALLERS_FILE. A `token` is kept as its SHA-256 in hex.

    `day_cap_usd` is for a UTC day. `requests_per_minute` limits the POST requests to one server, None for no limit.
    An operator sees the figures of the whole fleet. Other callers see their own.
    """

    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$", description="1 to 64 of the characters a-z, A-Z, 0-9, _ and -")
    token: Annotated[str | None, Field(pattern=r"^[!-~]{16,}$"), AfterValidator(_sha256)] = Field(
        default=None, description="at least 16 letters, digits or signs, and no space"
    )
    token_sha256: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{64}$", description="64 of the characters 0-9 and a-f"
    )
    tags: Annotated[dict[str, str], AfterValidator(_tags)] = Field(
        default={}, description='a table of texts, such as { team = "media" }'
    )
    day_cap_usd: Usd | None = None
    requests_per_minute: int | None = Field(
        default=None, ge=1, le=_MOST_REQUESTS, description=f"a whole number from 1 to {_MOST_REQUESTS}"
    )
    operator: bool = Field(default=False, description="true or false")

    @property
    def digest(self) -> str | None:
        """The SHA-256 of the caller's token in hex. None for a caller that needs no token."""
        return self.token or self.token_sha256

    @property
    def batch_tags(self) -> dict[str, str]:
        """The tags of all the caller's batches, with name and cap: a worker enforces the cap without CALLERS_FILE."""
        cap = {} if self.day_cap_usd is None else {CALLER_CAP: f"{self.day_cap_usd:f}"}
        return {**self.tags, CALLER: self.name, **cap}

    def foreign_tag(self, given: Mapping[str, str], others: Collection["Caller"], capped: Iterable[str]) -> str | None:
        """Return a tag that the caller may not set: ours, a caller's in CALLERS_FILE, or a capped one (`capped`).

        Returns None if there is none. The caller may repeat its own tags. Without CALLERS_FILE `others` is empty, and
        every cap is the caller's own.
        """
        kept = [CALLER, CALLER_CAP, VIA]
        if others:
            kept += [*capped, *(tag for other in others for tag in other.tags)]
        names = {tag.partition("=")[0] for tag in kept}
        own = self.batch_tags
        # A cap counts name=value: the name ends at the first sign, even at a sign inside the caller's name.
        foreign = (name for name, value in given.items() if name.partition("=")[0] in names and own.get(name) != value)
        return next(foreign, None)

    def key(self, *words: str) -> "OwnKey":
        """Return an idempotency key that no other caller has. Without words, return the beginning of all its keys.

        >>> Caller(name="airflow").key("batch", "7")
        'serve/airflow/batch/7'
        """
        return OwnKey("/".join(["serve", self.name, *(words or [""])]))

    def own_key(self, kind: str, given: str | None) -> "OwnKey":
        """Return the key for a caller's own key, which may be any text. Without `given` the key is a new one."""
        return self.key(kind, new_id() if given is None else str(_sha256(given)))


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
    """Return the key of a batch that is submitted through MCP. Raises InputError for a key of this program."""
    if key is None:
        return None
    if problem := key_problem(key):
        raise InputError(problem, source="submit", field="key")
    return OwnKey(f"mcp/{key}")


_CALLER = TypeAdapter(Caller)
LOCAL = Caller(name="local", operator=True)  # any process of this machine, if no CALLERS_FILE is set


def caller_with(token: str, callers: Iterable[Caller]) -> Caller | None:
    """Return the caller with this token. Returns None if there is none. The search takes as long for every token."""
    digest = str(_sha256(token))
    found = None
    for caller in callers:
        if caller.digest is not None and hmac.compare_digest(digest, caller.digest):
            found = caller
    return found


def read_callers(path: Path) -> tuple[Caller, ...]:
    """Read CALLERS_FILE, in TOML: a table for each caller, with its name. Raises SettingsError with every mistake.

    No message quotes a value, which may be a token.
    """
    digests = set[str | None]()

    def read(name: str, table: Mapping[str, Any]) -> tuple[Caller | None, list[Problem]]:
        caller, problems = validated(_CALLER, {**table, "name": name}, hides_values=True)
        if "name" in table:
            problems.append(("name", "is that of the table; take it out"))
        if ("token" in table) == ("token_sha256" in table):
            problems.append(("token", "give either token or token_sha256, which is its SHA-256 in hex"))
        elif caller is not None and caller.digest in digests:
            problems.append(("token", "another caller has the same; give each its own"))
        digests.update({caller.digest} if caller else ())
        return caller, problems

    callers = read_tables(path, read, variable="CALLERS_FILE", kind="caller", parse_float=Decimal)
    if not callers:
        fix = "names no caller: begin each with [its-name]"
        raise SettingsError([Mistake(variable="CALLERS_FILE", value=str(path), fix=fix)])
    return tuple(callers.values())


def caller_cap(tags: Mapping[str, str]) -> tuple[str, Decimal] | None:
    """Return the cap in the tags of a batch: `caller=NAME` and USD. Returns None if the tags hold no cap.

    >>> caller_cap({"caller": "airflow", "caller_day_cap_usd": "5"})
    ('caller=airflow', Decimal('5'))
    """
    try:
        return f"{CALLER}={tags[CALLER]}", usd(tags[CALLER_CAP])
    except (KeyError, ValueError):  # or the tag of that name is another program's
        return None


def caps_of(callers: Iterable[Caller], tag_caps: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Add the callers' day caps to TAG_CAPS_USD. Raises SettingsError if both name one caller."""
    own = {f"{CALLER}={one.name}": one.day_cap_usd for one in callers if one.day_cap_usd is not None}
    if twice := sorted(own.keys() & tag_caps.keys()):
        fix = "the caller has a day_cap_usd in CALLERS_FILE too; give one of them"
        raise SettingsError([Mistake(variable="TAG_CAPS_USD", value=twice[0], fix=fix)])
    return {**tag_caps, **own}
