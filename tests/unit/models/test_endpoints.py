"""ENDPOINTS_FILE and `endpoint/model` in the chain: every mistake is named, no key is shown, prices are by endpoint."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from models.chain.capabilities import capabilities_of
from models.chain.chain import limit_group, parse_chain, short_name
from models.endpoints import Endpoint, read_endpoints
from models.errors import SettingsError
from models.money.pricing import priced
from models.money.usage import Usage
from models.settings import Settings, load_settings

_KEY = "a-key-that-nobody-may-see"
_NOW = datetime(2026, 11, 20, tzinfo=UTC)
_LOCAL = '[local]\nkind = "compatible"\nbase_url = "http://127.0.0.1:8080/v1"\nprices = { smollm2 = "0:0" }\n'
_BEDROCK = '[bedrock]\nkind = "bedrock-mantle"\nregion = "us-east-1"\nprice_factor = 1.1\n'


def _file(folder: Path, text: str) -> Path:
    path = folder / "endpoints.toml"
    path.write_text(text, encoding="utf-8")
    return path


def _settings(folder: Path, chain: str, text: str = _LOCAL + _BEDROCK, **more: str) -> Settings:
    return load_settings(env_file=None, endpoints_file=_file(folder, text), model_chain=chain, **more)


def _mistakes(folder: Path, chain: str, text: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        _settings(folder, chain, text)
    assert _KEY not in str(caught.value)
    return [mistake.fix for mistake in caught.value.mistakes]


def test_a_rung_at_another_endpoint_is_a_model_of_its_own_in_its_own_limit_group(tmp_path: Path) -> None:
    chain = _settings(tmp_path, "claude-opus-4-7,bedrock/claude-opus-4-7,claude-opus-4-6,local/smollm2").chain
    assert [chain.group_of(model) for model in chain.models] == [
        "claude-opus-4", "bedrock/claude-opus-4", "claude-opus-4", "local/smollm2"
    ]  # fmt: skip
    assert chain.rungs_by_endpoint == {"anthropic": 2, "bedrock": 1, "local": 1}
    assert capabilities_of("bedrock/claude-haiku-4-5").smallest_prefix == 4096


def test_nothing_changes_for_a_chain_without_a_slash() -> None:
    settings = load_settings(env_file=None, model_chain="claude-opus-4-7,claude-haiku-4-5-20251001")
    assert (settings.endpoints, settings.chain.rungs_by_endpoint) == ({}, {})
    assert [short_name(model) for model in settings.chain.models] == ["opus-4-7", "haiku-4-5"]
    assert limit_group("claude-opus-4-7") == "claude-opus-4"


def test_the_price_of_an_endpoint_is_its_own_or_the_usual_one_times_its_factor(tmp_path: Path) -> None:
    settings = _settings(tmp_path, "claude-opus-4-7", model_costs="claude-sonnet-4-6:3:15")
    prices = settings.price_book()
    usual, dearer = (prices.price(model, at=_NOW) for model in ("claude-opus-4-7", "bedrock/claude-opus-4-7"))
    assert usual is not None
    assert dearer is not None
    assert (dearer.model, dearer.rates.input) == ("bedrock/claude-opus-4-7", usual.rates.input * Decimal("1.1"))
    stated = prices.price("bedrock/claude-sonnet-4-6", at=_NOW)
    assert stated is not None
    assert stated.rates.output == Decimal("16.5"), "MODEL_COSTS holds for the model wherever it answers"
    own = prices.price("local/smollm2", at=_NOW)
    assert own is not None
    assert own.rates.input == own.rates.output == 0
    assert own.source == "ENDPOINTS_FILE [local], cache rates derived from input"
    assert prices.price("local/another", at=_NOW) is None
    cost = priced(Usage(input_tokens=9, output_tokens=7), "local/smollm2", prices, at=_NOW)
    assert cost is not None
    assert cost.parts.total == 0


def test_limits_are_shared_with_another_endpoint_by_word_of_the_operator(tmp_path: Path) -> None:
    text = _BEDROCK + 'shares_limits_with = "anthropic"\n' + _LOCAL
    chain = _settings(tmp_path, "claude-opus-4-7,bedrock/claude-opus-4-8", text).chain
    assert chain.group_of("bedrock/claude-opus-4-8") == chain.group_of("claude-opus-4-7")
    (fix,) = _mistakes(tmp_path, "claude-opus-4-7", _LOCAL + 'shares_limits_with = "nobody"\n')
    assert fix == "[local] shares_limits_with: should be one of anthropic"


_BASE_URL = "[x] base_url: should be https:// and a host, or http:// on this machine, without a name or a password"
_IS_MISSING = "is missing: an endpoint of kind {} needs one"
_NO_ID = "b/claude-opus-4-7: its id cannot be derived; name it in ENDPOINTS_FILE under [b]: ids = "


@pytest.mark.parametrize(
    ("chain", "text", "fix"),
    [
        ("a,there/b", _LOCAL, "there/b: there is no endpoint (local); begin its table in ENDPOINTS_FILE with [there]"),
        ("a,b/c/d", _LOCAL, "'b/c/d' is not a model name; write model,model,... primary first"),
        ("a", "[x]\nkind = 'compatible'\n", f"[x] base_url: {_IS_MISSING.format('compatible')}"),
        ("a", "[x]\nkind = 'cloud'\n", "[x] kind: should be anthropic, aws, google-cloud, bedrock-mantle, bedrock, "),
        ("a", "[x]\nkind = 'vertex'\nregion = 'eu'\n", f"[x] project: {_IS_MISSING.format('vertex')}"),
        ("a", f"{_LOCAL}region = 'eu'\n", "[local] region: is not for kind compatible; take it out"),
        ("a", f"{_LOCAL}colour = 'red'\n", "[local] colour: is unknown; choose from name, kind, base_url, key, "),
        ("a", "[x]\nkind = 'compatible'\nbase_url = 'http://10.0.0.1'\n", _BASE_URL),
        ("a", f"[x]\nkind = 'compatible'\nbase_url = 'https://me:{_KEY}@a'\n", _BASE_URL),
        ("a", f'{_LOCAL}key = "{_KEY}\\n"\n', "[local] key: should be the key as its owner shows it, without a line"),
        ("a", f'{_LOCAL}key_file = "/none"\n', "[local] key_file: cannot be read (FileNotFoundError); name a readable"),
        ("a", _LOCAL.replace("0:0", "nothing"), "[local] prices: write model:input:output[:cache_read[:write_5m"),
        ("a", _BEDROCK.replace("1.1", "-1"), "[bedrock] price_factor: should be a number from 0 to 100, such as 1.1"),
        ("a", "[anthropic]\nkind = 'anthropic'\n", "[anthropic] name: anthropic is the endpoint of ANTHROPIC_BASE_URL"),
        ("a,b/claude-opus-4-7", "[b]\nkind = 'bedrock'\nregion = 'us-east-1'\n", _NO_ID),
        ("a", "x = 1\n", "x: is no table: begin each endpoint with [its-name]"),
    ],
)
def test_every_mistake_is_named_with_its_table_field_and_fix(tmp_path: Path, chain: str, text: str, fix: str) -> None:
    (found,) = _mistakes(tmp_path, chain, text)
    assert found.startswith(fix)


def test_a_key_comes_from_a_file_and_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{_KEY}\n", encoding="utf-8")
    endpoints = read_endpoints(_file(tmp_path, _LOCAL + f'key_file = "{tmp_path / "key"}"\n'))
    key = endpoints["local"].key
    assert key is not None
    assert key.get_secret_value() == _KEY
    assert _KEY not in repr(endpoints)


def test_a_model_may_have_another_name_at_its_endpoint() -> None:
    own = Endpoint(name="f", kind="foundry", base_url="https://a", ids={"claude-opus-4-7": "opus-prod"})
    assert (own.id_of("claude-opus-4-7"), own.id_of("claude-sonnet-4-6")) == ("opus-prod", "claude-sonnet-4-6")
    assert (own.our_name("opus-prod"), own.our_name("claude-sonnet-4-6")) == ("claude-opus-4-7", "claude-sonnet-4-6")
    assert own.our_name("us.anthropic.claude-sonnet-4-6") == "claude-sonnet-4-6"


def test_a_name_has_at_most_one_endpoint() -> None:
    assert parse_chain("a, b/c") == ("a", "b/c")
