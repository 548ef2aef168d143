"""The models of the simulator: their parameters, their rate limits and their prices.

Prices are USD per million tokens, typed in by hand from the published list of November 2026. No price library is used:
the project's own figures are checked against these. The smallest cacheable prefix is known for opus-4-7, sonnet-4-6 and
haiku-4-5 and assumed for the others. Thinking and effort are by Anthropic's and Amazon's pages of July to November
2026. The values of models after Opus 5 are assumed to be the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """USD per million tokens for the five kinds of token that are billed apart."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    write_5m: Decimal
    write_1h: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model: `group` names its rate limit bucket, `smallest_prefix` is in tokens.

    `thinking` and `efforts` are accepted types and levels. `forced_tools`: a tool_choice of any or tool is accepted.

    `long_rates` replace `rates` for every token once the whole prompt is above `long_from` tokens.
    """

    id: str
    alias: str
    name: str
    group: str
    context: int
    max_output: int
    smallest_prefix: int
    sampling: bool
    prefill: bool
    thinking: frozenset[str]
    efforts: frozenset[str]
    rates: Rates
    forced_tools: bool = True
    long_rates: Rates | None = None
    long_from: int = 0
    retires_at: str | None = None

    @property
    def line(self) -> str:
        """The family: opus, sonnet, haiku or fable."""
        return self.id.split("-")[1]

    @property
    def thinks_unasked(self) -> bool:
        """Whether the model thinks by default: thinking can be disabled, and has no budget."""
        return "disabled" in self.thinking and "enabled" not in self.thinking


def _rates(figures: str) -> Rates:
    """Read "input output cache_read write_5m write_1h"."""
    inp, out, read, write_5m, write_1h = (Decimal(figure) for figure in figures.split())
    return Rates(input=inp, output=out, cache_read=read, write_5m=write_5m, write_1h=write_1h)


_OPUS_4 = _rates("5 25 0.50 6.25 10")
_SONNET_4 = _rates("3 15 0.30 3.75 6")
_MILLION = 1_000_000
_SMALL_WINDOW = 200_000
_BUDGETED = frozenset({"enabled", "disabled"})
_EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})


def _model(model_id: str, rates: Rates, **changes: object) -> Model:
    """Describe a model of the 4.7 generation or newer; `changes` are its differences."""
    family, _, version = model_id.removeprefix("claude-").partition("-")
    fields: dict[str, object] = {
        "alias": model_id,
        "name": f"Claude {family.title()} {version[:3].replace('-', '.')}",
        "group": f"{family}-{version}",
        "context": _MILLION,
        "max_output": 128_000,
        "smallest_prefix": 1024,
        "sampling": False,
        "prefill": False,
        "thinking": frozenset({"adaptive", "disabled"}),
        "efforts": _EFFORTS,
    }
    return Model(id=model_id, rates=rates, **(fields | changes))  # type: ignore[arg-type]


MODELS: tuple[Model, ...] = (
    _model("claude-opus-5-5", _rates("4 20 0.20 5 8")),
    _model("claude-sonnet-5-5", _rates("2 10 0.10 2.50 4")),
    _model(
        "claude-haiku-5-5",
        _rates("0.10 0.50 0.01 0.125 0.20"),
        long_rates=_rates("0.50 2.50 0.05 0.625 1"),
        long_from=100_000,
    ),
    _model("claude-fable-5-2", _rates("8 40 0.20 10 16"), thinking=frozenset({"adaptive"}), forced_tools=False),
    _model(
        "claude-fable-5-1",
        _rates("10 50 0.25 12.50 20"),
        group="fable-5",
        thinking=frozenset({"adaptive"}),
        forced_tools=False,
    ),
    _model("claude-fable-5", _rates("10 50 1 12.50 20"), thinking=frozenset({"adaptive"})),
    _model("claude-opus-5", _OPUS_4),
    _model("claude-sonnet-5", _rates("2 10 0.20 2.50 4")),
    _model("claude-opus-4-8", _OPUS_4, group="opus-4", smallest_prefix=2048, thinking=frozenset({"adaptive"})),
    _model("claude-opus-4-7", _OPUS_4, group="opus-4", smallest_prefix=2048, thinking=frozenset({"adaptive"})),
    _model(
        "claude-opus-4-6",
        _OPUS_4,
        group="opus-4",
        smallest_prefix=4096,
        sampling=True,
        thinking=_BUDGETED | {"adaptive"},
        efforts=_EFFORTS - {"xhigh"},
    ),
    _model(
        "claude-sonnet-4-6",
        _SONNET_4,
        group="sonnet-4",
        sampling=True,
        thinking=_BUDGETED | {"adaptive"},
        efforts=_EFFORTS - {"xhigh"},
    ),
    _model(
        "claude-opus-4-5-20251101",
        _OPUS_4,
        alias="claude-opus-4-5",
        group="opus-4",
        context=_SMALL_WINDOW,
        max_output=64_000,
        smallest_prefix=4096,
        sampling=True,
        prefill=True,
        thinking=_BUDGETED,
        efforts=_EFFORTS - {"xhigh", "max"},
    ),
    _model(
        "claude-haiku-4-5-20251001",
        _rates("1 5 0.10 1.25 2"),
        alias="claude-haiku-4-5",
        group="haiku-4-5",
        context=_SMALL_WINDOW,
        max_output=64_000,
        smallest_prefix=4096,
        sampling=True,
        prefill=True,
        thinking=_BUDGETED,
        efforts=frozenset(),
    ),
    _model(
        "claude-sonnet-4-5-20250929",
        _SONNET_4,
        alias="claude-sonnet-4-5",
        group="sonnet-4",
        context=_SMALL_WINDOW,
        max_output=64_000,
        sampling=True,
        prefill=True,
        thinking=_BUDGETED,
        efforts=frozenset(),
        retires_at="2026-11-30T00:00:00Z",
    ),
)

GROUPS = frozenset(model.group for model in MODELS)

_BY_NAME = {name: model for model in MODELS for name in (model.alias, model.id)}


def find(name: str) -> Model | None:
    """Return the model with this dated id or alias."""
    return _BY_NAME.get(name)


def served(name: str) -> Model:
    """Return the model that answered under this name. Raises KeyError for a name that is in no catalog."""
    return _BY_NAME[name]
