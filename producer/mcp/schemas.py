"""What an MCP client may say to each tool, and what it is told: values, from which the JSON schemas are made."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from reprlib import repr as shown
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, WithJsonSchema

from models.errors import InputError
from models.money.caps import usd
from producer.prompt.prompt import DEFAULT_MAX_TOKENS

MOST_PROMPTS = 10_000
MOST_ANSWERS = 100
LONGEST_WAIT_S = 300.0
_LARGEST_OFFSET = 1_000_000_000
_LONGEST_MONEY = 40  # characters
_STRICT = ConfigDict(extra="forbid")  # a misspelt max_cost_usd must not pass for one left out
_PREFIX = "Value error, "
_EITHER_MONEY = {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}]}


def _listed(given: object) -> object:
    # Some clients send a list as the JSON text of one.
    if isinstance(given, str) and given.lstrip().startswith("["):
        try:
            return json.loads(given)
        except (ValueError, RecursionError):
            return given
    return given


def _money(given: object) -> Decimal:
    text = str(given)
    return usd(text if len(text) <= _LONGEST_MONEY else shown(text))  # which is refused, and not repeated whole


Task = Annotated[str | None, Field(description="task kind: where in the chain it starts, such as summarize")]
MaxCost = Annotated[
    Decimal,
    BeforeValidator(_money),
    WithJsonSchema(_EITHER_MONEY),
    Field(description="the most it may cost in USD, over all retries and fallbacks, such as 0.05; required"),
]
BatchId = Annotated[str, Field(description="a batch: its id, a unique beginning of it, or its name")]
MaxTokens = Annotated[int, Field(ge=1, description="the most output tokens an answer may have, 1 or more")]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnePrompt:
    """A prompt with words of its own."""

    __pydantic_config__ = _STRICT
    prompt: str
    id: Annotated[str | None, Field(description="unique in the batch; left out, its position from 1")] = None
    max_tokens: MaxTokens = DEFAULT_MAX_TOKENS
    system: str | None = None


Prompts = Annotated[
    list[str | OnePrompt],
    BeforeValidator(_listed),
    Field(
        min_length=1,
        max_length=MOST_PROMPTS,
        description=f"a list of 1 to {MOST_PROMPTS:,} prompts: texts, or objects with prompt, id, max_tokens, system",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What `ask` takes."""

    __pydantic_config__ = _STRICT
    prompt: Annotated[str, Field(description="the text to be answered")]
    max_cost_usd: MaxCost
    task: Task = None
    max_tokens: MaxTokens = DEFAULT_MAX_TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What `estimate` takes."""

    __pydantic_config__ = _STRICT
    prompts: Prompts
    task: Task = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """What `submit` takes."""

    __pydantic_config__ = _STRICT
    prompts: Prompts
    max_cost_usd: MaxCost
    task: Task = None
    name: Annotated[str | None, Field(description="what people call the batch")] = None
    key: Annotated[str | None, Field(description="the same prompts under one key are bought once")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What `status` takes."""

    __pydantic_config__ = _STRICT
    batch: BatchId


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """What `wait` takes."""

    __pydantic_config__ = _STRICT
    batch: BatchId
    up_to_s: Annotated[
        float, Field(ge=0, le=LONGEST_WAIT_S, description=f"seconds after which it comes back, 0 to {LONGEST_WAIT_S:g}")
    ] = 45


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What `results` takes."""

    __pydantic_config__ = _STRICT
    batch: BatchId
    offset: Annotated[int, Field(ge=0, le=_LARGEST_OFFSET, description="how many answers to pass over, 0 or more")] = 0
    limit: Annotated[
        int, Field(ge=1, le=MOST_ANSWERS, description=f"how many answers to give, 1 to {MOST_ANSWERS}")
    ] = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerQuery:
    """What `ledger_query` takes."""

    __pydantic_config__ = _STRICT
    sql: Annotated[str, Field(description="one query, such as SELECT * FROM v_cost_daily; nothing is written by it")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One job's end, or where it is by now. `cost_usd` is None where an attempt's cost is unknown, or still open."""

    id: str
    job: str
    state: str
    text: str | None
    model: str | None
    fallback_depth: int | None
    stop_reason: str | None
    cost_usd: str | None
    outcome: str | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where a batch is. `cost_usd` sums what is known; `unknown_costs` counts the ended attempts that are not in it."""

    batch: str
    name: str | None
    jobs: int
    states: dict[str, int]
    is_settled: bool
    held: int
    over_budget: int
    attempts: int
    cost_usd: str
    unknown_costs: int
    max_cost_usd: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What came of `ask`: the answer; while its state is no final one, the batch to `wait` for."""

    batch: str
    answer: Reply
    cost_usd: str
    unknown_costs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimated:
    """What prompts would cost, in USD; the worst case is None where `unbounded` of them have none."""

    prompts: int
    expected_usd: str | None
    low_usd: str | None
    worst_case_usd: str | None
    unbounded: int
    starts: dict[str, int]
    if_one_answers_all: dict[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A batch that is kept. `is_new` is False where its key was known: then nothing was added.

    `not_sent` tells why no message is out yet: the jobs are accepted, and a worker sends them.
    """

    batch: str
    is_new: bool
    jobs: int
    max_cost_usd: str | None
    not_sent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some answers of a batch, in the order they were submitted. `next_offset` is None behind the last one."""

    batch: str
    jobs: int
    answers: list[Reply]
    next_offset: int | None
    is_settled: bool
    cost_usd: str
    unknown_costs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What a query found. `is_cut` where there is more; exact numbers that are not whole are texts."""

    columns: list[str]
    rows: list[list[Any]]
    is_cut: bool


def schema_of(shape: type) -> dict[str, Any]:
    """Write a shape as the JSON schema of an object."""
    return _adapter(shape).json_schema()


def read(shape: type, given: Mapping[str, Any], *, tool: str) -> Any:
    """Read what a client said. Raises InputError that names each wrong argument, and what would be right."""
    try:
        return _adapter(shape).validate_python(dict(given))
    except ValidationError as error:
        mistakes = {detail["loc"][:2]: detail for detail in error.errors(include_url=False)}
    told = [f"{_place(detail['loc'])}: {_problem(detail, shape)}" for detail in mistakes.values()]
    raise InputError("; ".join(told), source=tool)


def written(value: Any) -> dict[str, Any]:
    """Write a value of a shape as JSON's objects."""
    shape: type = type(value)
    said: dict[str, Any] = _adapter(shape).dump_python(value, mode="json")
    return said


@cache
def _adapter(shape: type) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def _place(loc: tuple[int | str, ...]) -> str:
    """Name an argument, or a word of a prompt; the third part of such a place is the kind of prompt that was tried."""
    prompt = "".join(f"[{index}]" for index in loc[1:2])
    return ".".join([f"{loc[0]}{prompt}", *map(str, loc[3:])])


def _problem(detail: Any, shape: type) -> str:
    known = schema_of(shape)["properties"]
    field = str(detail["loc"][0])
    if field not in known:
        return f"is no argument here; there are {', '.join(known)}"
    right = known[field].get("description", "")
    match detail["type"]:
        case "missing" if len(detail["loc"]) == 1:
            return f"missing; give {right}"
        case "value_error":
            return str(detail["msg"]).removeprefix(_PREFIX)
    return f"{shown(detail['input'])}: {str(detail['msg'])[:1].lower()}{detail['msg'][1:]}; right is {right}"
