"""The endpoints of ENDPOINTS_FILE: a table for each place, beside the usual API, at which models answer."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, TypeAdapter

from models.chain.capabilities import OLDER_VERSION, Capabilities, capabilities_of
from models.chain.chain import limit_group
from models.chain.endpoint_fit import FEATURES, Feature
from models.errors import Mistake, SettingsError
from models.money.pricing import Price, parse_costs
from models.rung_name import DEFAULT_ENDPOINT, endpoint_of, model_of, named_at
from models.toml_file import read_tables
from models.validation import Problem, StrictModel, validated

Kind = Literal["anthropic", "aws", "google-cloud", "bedrock-mantle", "bedrock", "vertex", "foundry", "compatible"]
_NAME = r"^[a-z][a-z0-9-]{0,31}$"
_DATED, _MAKER = re.compile(r"-(\d{8})$"), re.compile(r"^(?:[a-z]+\.)?anthropic\.(?=claude-)")
_LOCAL = {"localhost", "127.0.0.1", "::1"}
_ADDRESS = "https:// and a host, or http:// on this machine"
_AWS, _GOOGLE = ("aws", "bedrock-mantle", "bedrock"), ("google-cloud", "vertex")
# The features that a kind lacks, unless `lacks` says otherwise.
_LACKS: Mapping[str, tuple[Feature, ...]] = {
    "aws": ("fast_mode",),
    "bedrock-mantle": ("fast_mode", "files", "server_tools", "structured_outputs"),
    "bedrock": ("fast_mode", "files", "server_tools"),
    "vertex": ("fast_mode", "files"),
    "compatible": FEATURES,
}
# The kinds that need a field, and those that take the field.
_NEEDED: Mapping[str, Collection[str]] = {
    "region": (*_AWS, *_GOOGLE),
    "project": _GOOGLE,
    "base_url": ("foundry", "compatible"),
}
_TAKEN: Mapping[str, Collection[str]] = {
    "region": (*_AWS, *_GOOGLE),
    "project": _GOOGLE,
    "workspace": ("aws", "google-cloud"),
    "auth": ("compatible",),
}


def _base_url(url: str | None) -> str | None:
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOCAL)
    except ValueError:  # its text quotes the address, and so perhaps a password
        is_safe = False
    if not is_safe or not parts.hostname or "@" in parts.netloc:
        raise ValueError(f"should be {_ADDRESS}, without a name or a password")
    return url.rstrip("/").removesuffix("/v1/messages").removesuffix("/v1")


def _key(key: SecretStr | None) -> SecretStr | None:
    text = "-" if key is None else key.get_secret_value()
    if not text.strip() or not (text.isascii() and text.isprintable()):
        raise ValueError("should be the key as its owner shows it, without a line break")
    return key


class Endpoint(StrictModel):
    """One endpoint, with the fields of its table. `ids` maps our names of models to those of the endpoint.

    `prices` holds rates as in MODEL_COSTS, for models by our names. Other models cost `price_factor` times the usual
    price. An answer is priced by the model that the reply names if `trust_model`, else by the model of the rung.
    """

    name: str = Field(pattern=_NAME, description="1 to 32 of the characters a-z, 0-9 and -, a letter first")
    kind: Kind = Field(
        description="anthropic, aws, google-cloud, bedrock-mantle, bedrock, vertex, foundry or compatible"
    )
    base_url: Annotated[str | None, AfterValidator(_base_url)] = Field(default=None, description=_ADDRESS)
    key: Annotated[SecretStr | None, AfterValidator(_key)] = Field(default=None, description="the key, in quotes")
    key_file: str | None = Field(default=None, description="the path of a file that holds the key")
    auth: Literal["bearer", "x-api-key"] = Field(default="bearer", description="bearer or x-api-key")
    region: str | None = Field(default=None, pattern=r"^[a-z0-9-]+$", description="a region, such as us-east-1")
    project: str | None = Field(default=None, min_length=1, description="the id of the project")
    workspace: str | None = Field(default=None, min_length=1, description="the id of the workspace")
    price_factor: Decimal = Field(default=Decimal(1), ge=0, le=100, description="a number from 0 to 100, such as 1.1")
    prices: dict[str, str] = Field(default={}, description='a table such as { qwen3 = "0.10:0.40" }')
    ids: dict[str, str] = Field(default={}, description='a table such as { claude-opus-4-7 = "opus-prod" }')
    trust_model: bool | None = Field(default=None, description="true or false")
    shares_limits_with: str | None = Field(default=None, description="the name of another endpoint")
    lacks: list[Feature] | None = Field(default=None, description=f"a list of some of: {', '.join(FEATURES)}")

    def id_of(self, model: str) -> str:
        """Return the endpoint's own name of a model: of `ids`, else as the kind derives the name from ours.

        >>> Endpoint(name="v", kind="vertex", region="global", project="p").id_of("claude-haiku-4-5-20251001")
        'claude-haiku-4-5@20251001'
        >>> Endpoint(name="m", kind="bedrock-mantle", region="us-east-1").id_of("claude-opus-4-7")
        'anthropic.claude-opus-4-7'
        """
        derived = {"vertex": _DATED.sub(r"@\1", model), "bedrock-mantle": f"anthropic.{model}"}
        return self.ids.get(model) or derived.get(self.kind, model)

    def our_name(self, served: str) -> str:
        """Return our name of a model that a reply names, by either name."""
        ours = {own: name for name, own in self.ids.items()}
        return ours.get(served) or _MAKER.sub("", served)

    def fitted(self, facts: Capabilities) -> Capabilities:
        """Return the capabilities of a model at this endpoint. An endpoint with the usual limits has the usual account.

        >>> sorted(Endpoint(name="a", kind="vertex", region="global", project="p").fitted(capabilities_of("m")).lacks)
        ['fast_mode', 'files']
        """
        return replace(
            facts,
            lacks=frozenset(_LACKS.get(self.kind, ()) if self.lacks is None else self.lacks),
            only_version=OLDER_VERSION if self.kind == "compatible" else None,
            is_other_account=self.shares_limits_with != DEFAULT_ENDPOINT,
        )

    @property
    def lists_models(self) -> bool:
        """Return whether the endpoint states the facts of its models, with no signature."""
        return self.kind in {"anthropic", "compatible"}

    @property
    def trusts_model(self) -> bool:
        """Return whether the model that a reply names is taken for the one that answered."""
        return self.kind != "compatible" if self.trust_model is None else self.trust_model

    @property
    def own_prices(self) -> dict[str, Price]:
        """The stated prices, by rung. Raises SettingsError for rates that cannot be read."""
        rungs = {named_at(self.name, model): rates for model, rates in self.prices.items()}
        source = f"ENDPOINTS_FILE [{self.name}]"
        return {rung: parse_costs(f"{rung}:{rates}", source=source)[rung] for rung, rates in rungs.items()}


_ENDPOINT = TypeAdapter(Endpoint)


def read_endpoints(path: Path) -> dict[str, Endpoint]:
    """Read ENDPOINTS_FILE, in TOML: a table for each endpoint, with its name. Raises SettingsError with every mistake.

    No message quotes a key.
    """
    return read_tables(path, _read, variable="ENDPOINTS_FILE", kind="endpoint", parse_float=Decimal)


def _read(name: str, table: Mapping[str, Any]) -> tuple[Endpoint | None, list[Problem]]:
    key, problems = _key_of(table)
    given = {**table, "name": name, **({} if key is None else {"key": key})}
    factor = given.get("price_factor")
    given |= {"price_factor": Decimal(factor)} if type(factor) is int else {}
    endpoint, found = validated(_ENDPOINT, given, hides_values=True)
    problems += found
    if name == DEFAULT_ENDPOINT:
        problems.append(("name", f"{DEFAULT_ENDPOINT} is the endpoint of ANTHROPIC_BASE_URL; choose another"))
    if endpoint is not None:
        problems += _unfit(endpoint, table)
    return (None if problems else endpoint), problems


def check_chain(text: str, rungs: Iterable[str], endpoints: Mapping[str, Endpoint]) -> None:
    """Raise SettingsError that names each rung of MODEL_CHAIN at an unknown endpoint. `text` is the whole setting."""
    known = ", ".join(endpoints) or "ENDPOINTS_FILE names none"
    fixes = []
    for rung in rungs:
        name, endpoint = endpoint_of(rung), endpoints.get(endpoint_of(rung))
        if endpoint is None and name != DEFAULT_ENDPOINT:
            fixes.append(f"{rung}: {name} is no endpoint ({known}); begin its table in ENDPOINTS_FILE with [{name}]")
        elif endpoint is not None and endpoint.kind == "bedrock" and model_of(rung) not in endpoint.ids:
            example = f'{{ {model_of(rung)} = "global.anthropic.{model_of(rung)}-v1:0" }}'
            fixes.append(f"{rung}: its id cannot be derived; name it in ENDPOINTS_FILE under [{name}]: ids = {example}")
    if fixes:
        raise SettingsError([Mistake(variable="MODEL_CHAIN", value=text, fix=fix) for fix in fixes])


def capabilities_at(rung: str, endpoints: Mapping[str, Endpoint]) -> Capabilities:
    """Return the known capabilities of a rung's model at the rung's endpoint."""
    facts, endpoint = capabilities_of(rung), endpoints.get(endpoint_of(rung))
    return facts if endpoint is None else endpoint.fitted(facts)


def shared_groups(rungs: Iterable[str], endpoints: Mapping[str, Endpoint]) -> dict[str, str]:
    """Return the limit groups of rungs whose endpoint shares the limits of another endpoint.

    Raises SettingsError for an endpoint that shares those of an unknown one.
    """
    known = {DEFAULT_ENDPOINT, *endpoints}
    mistakes = [
        Mistake(
            variable="ENDPOINTS_FILE",
            value=name,
            fix=f"[{name}] shares_limits_with: should be one of {', '.join(sorted(known - {name}))}",
        )
        for name, endpoint in endpoints.items()
        if endpoint.shares_limits_with not in {None, *known} - {name}
    ]
    if mistakes:
        raise SettingsError(mistakes)
    shared = {rung: endpoints[at].shares_limits_with for rung in rungs if (at := endpoint_of(rung)) in endpoints}
    return {rung: limit_group(named_at(to, model_of(rung))) for rung, to in shared.items() if to is not None}


def _key_of(table: Mapping[str, Any]) -> tuple[str | None, list[Problem]]:
    """Read the file of a key."""
    path = table.get("key_file")
    if not isinstance(path, str):
        return None, []
    if "key" in table:
        return None, [("key_file", "give either key or key_file")]
    try:
        return Path(path).read_text(encoding="utf-8").strip(), []
    except (OSError, ValueError) as error:
        return None, [("key_file", f"cannot be read ({type(error).__name__}); name a readable text file")]


def _unfit(endpoint: Endpoint, table: Mapping[str, Any]) -> Iterator[Problem]:
    for field, kinds in _NEEDED.items():
        if endpoint.kind in kinds and getattr(endpoint, field) is None:
            yield field, f"is missing: an endpoint of kind {endpoint.kind} needs one"
    for field, kinds in _TAKEN.items():
        if field in table and endpoint.kind not in kinds:
            yield field, f"is not for kind {endpoint.kind}; take it out"
    try:
        _ = endpoint.own_prices
    except SettingsError as error:
        yield "prices", "; ".join(mistake.fix for mistake in error.mistakes)
