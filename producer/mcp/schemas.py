"""The arguments an MCP client gives to the tools, and the values a tool returns: JSON schemas are made from both."""

import json
from decimal import Decimal
from reprlib import repr as shown
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema

from models.money.cap_settings import usd
from producer.prompt.prompt import DEFAULT_MAX_TOKENS

MOST_PROMPTS = 10_000
MOST_ANSWERS = 100
LONGEST_WAIT_S = 300.0
_LARGEST_OFFSET = 1_000_000_000
_LONGEST_MONEY = 40  # characters
_EITHER_MONEY = {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}]}


def _listed(given: object) -> object:
    # Some clients send a list as JSON text.
    if isinstance(given, str) and given.lstrip().startswith("["):
        try:
            return json.loads(given)
        except (ValueError, RecursionError):
            return given
    return given


def _money(given: object) -> Decimal:
    text = str(given)
    return usd(text if len(text) <= _LONGEST_MONEY else shown(text))  # a refusal does not repeat a long text


Text = Annotated[str, Field(description="the text to be answered")]
Task = Annotated[str | None, Field(description="task kind: where in the chain it starts, such as summarize")]
Name = Annotated[str | None, Field(description="what people call the batch")]
Key = Annotated[str | None, Field(description="the same prompts under one key are bought once")]
HalfPrice = Annotated[
    bool | None, Field(description="true: in message batches of the provider, as far as the deadline leaves the time")
]
By = Annotated[str | None, Field(description="the deadline as a time to come: 06:00, or an ISO time")]
Sql = Annotated[str, Field(description="one query, such as SELECT * FROM v_cost_daily; nothing is written by it")]
BatchId = Annotated[str, Field(description="a batch: its id, a unique beginning of it, or its name")]
MaxTokens = Annotated[int, Field(ge=1, description="the most output tokens an answer may have, 1 or more")]
MaxCost = Annotated[
    Decimal,
    BeforeValidator(_money),
    WithJsonSchema(_EITHER_MONEY),
    Field(description="the most it may cost in USD, over all retries and fallbacks, such as 0.05; required"),
]
Seconds = Annotated[
    float, Field(ge=0, le=LONGEST_WAIT_S, description=f"seconds after which it comes back, 0 to {LONGEST_WAIT_S:g}")
]
Offset = Annotated[int, Field(ge=0, le=_LARGEST_OFFSET, description="how many answers to pass over, 0 or more")]
Limit = Annotated[int, Field(ge=1, le=MOST_ANSWERS, description=f"how many answers to give, 1 to {MOST_ANSWERS}")]


class OnePrompt(BaseModel, extra="forbid"):
    """A prompt with parameters of its own."""

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


_Usd = Annotated[str, BeforeValidator(lambda given: f"{given:f}" if isinstance(given, Decimal) else given)]
_Sendable = Annotated[
    str, BeforeValidator(lambda text: text.encode(errors="replace").decode())
]  # half a surrogate pair


class Reply(BaseModel):
    """A job and its answer. `cost_usd` is None if the cost of an attempt is unknown, or an attempt is still open."""

    id: str
    job: str
    state: str
    text: _Sendable | None
    model: str | None
    fallback_depth: int | None
    stop_reason: str | None
    cost_usd: _Usd | None
    outcome: str | None
    error: _Sendable | None


class BatchProgress(BaseModel):
    """The progress of a batch. `cost_usd` sums known costs; `unknown_costs` counts ended attempts of unknown cost."""

    batch: str
    name: str | None
    jobs: int
    states: dict[str, int]
    is_settled: bool
    held: int
    over_budget: int
    attempts: int
    cost_usd: _Usd
    unknown_costs: int
    max_cost_usd: _Usd | None


class AskResult(BaseModel):
    """The answer to `ask`. While the answer's state is not final, `wait` takes the batch."""

    batch: str
    answer: Reply
    cost_usd: _Usd
    unknown_costs: int


class LaneEstimate(BaseModel):
    """The costs to expect in a lane, in USD. The worst case is None if `unbounded` prompts have none."""

    expected_usd: str | None
    low_usd: str | None
    likely_usd: list[str | None]
    worst_case_usd: str | None
    unbounded: int


class Estimated(LaneEstimate):
    """The costs to expect of prompts, live; `half_price` is the same if message batches answer all in time."""

    prompts: int
    half_price: LaneEstimate
    starts: dict[str, int]
    if_one_answers_all: dict[str, str | None]


class Submitted(BaseModel):
    """An accepted batch. `is_new` is False if the ledger had the key already: then the submission adds nothing.

    `not_sent` is the reason why no message is out yet: the jobs are accepted, and a worker sends them. `short_of_time`
    counts half-price jobs that go live at the whole price, and names the deadline that would do.
    """

    batch: str
    is_new: bool
    jobs: int
    max_cost_usd: _Usd | None
    not_sent: str | None
    short_of_time: str | None


class Page(BaseModel):
    """Some answers of a batch, in the order of submission. `next_offset` is None behind the last answer."""

    batch: str
    jobs: int
    answers: list[Reply]
    next_offset: int | None
    is_settled: bool
    cost_usd: _Usd
    unknown_costs: int


class Rows(BaseModel):
    """The rows of a query. `is_cut` is True if there are more; exact numbers that are not whole are texts."""

    columns: list[str]
    rows: list[list[Any]]
    is_cut: bool
