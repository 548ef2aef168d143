"""The values that /api/v1 takes and answers. The models of answers are for the OpenAPI document alone."""

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from pydantic import BeforeValidator, Field, TypeAdapter, WithJsonSchema, create_model

from models.outcome import State
from models.validation import StrictModel
from producer.submit.checked_options import MOST_WEIGHT
from producer.web.http.receive_body import MOST_PROMPTS

Schema: TypeAlias = dict[str, Any]
_VISIBLE_TEXT = r"^[^\u0000]*[^\s\u0000\u001c-\u001f\u0085][^\u0000]*$"
_USD_TEXT = r"^[0-9]{1,10}(\.[0-9]{1,9})?$"
_USD_ABOVE_0 = r"^(0\.[0-9]{0,8}[1-9]0{0,8}|[1-9][0-9]{0,8}(\.[0-9]{1,9})?)$"
MOST_ID = 2**53  # beyond this number, readers of JSON may read two numbers as the same


def whole(given: Any) -> Any:
    """Take 54.0 for 54, as JSON does."""
    return int(given) if isinstance(given, float) and given.is_integer() else given


STORED: Schema = {"type": "string", "pattern": r"^[^\u0000]*$"}  # no database keeps a NUL
VISIBLE: Schema = {"type": "string", "pattern": _VISIBLE_TEXT}
LABEL: Schema = {**VISIBLE, "maxLength": 200}
_TAGS: Schema = {
    "type": "object",
    "propertyNames": LABEL,
    "additionalProperties": {**STORED, "maxLength": 200},
    "description": "an object of texts",
}

_Label: TypeAlias = Annotated[
    str,
    Field(
        pattern=_VISIBLE_TEXT,
        max_length=200,
        description="text of at most 200 characters, not blank and without NUL, or be left out",
    ),
]
_Cap: TypeAlias = Annotated[
    Annotated[str, Field(pattern=_USD_ABOVE_0, description='USD as text, such as "2.50"')]
    | Annotated[int, Field(ge=1, le=10**9)]
    | None,
    BeforeValidator(whole),
]
_TAG_RULE = (
    "A tag is answered with 400 by its name if the name is this server's (caller, caller_day_cap_usd, via), if "
    "another caller has a tag of this name, or if a cap counts it. A tag that all your batches have is accepted."
)


class NewBatch(StrictModel):
    """Prompts that are submitted as one batch."""

    prompts: list[Any] = Field(
        min_length=1, max_length=MOST_PROMPTS, description=f"a list of 1 to {MOST_PROMPTS} prompts"
    )
    task: _Label | None = None
    name: _Label | None = None
    key: _Label | None = Field(default=None, description="the same prompts under one key are bought once")
    tags: Annotated[dict[str, str], WithJsonSchema(_TAGS)] | None = Field(default=None, description=_TAG_RULE)
    max_cost_usd: _Cap = None
    urgent: bool = Field(default=False, description="true or false")
    weight: Annotated[int, Field(ge=1, le=MOST_WEIGHT), BeforeValidator(whole)] = Field(
        default=1, description=f"a whole number from 1 to {MOST_WEIGHT}"
    )
    half_price: bool | None = Field(
        default=None, description="true or false; true is for jobs that are not urgent; left out, the task kind decides"
    )
    by: str | None = Field(default=None, description="the deadline as a time to come: 06:00, or an ISO time")


NEW_BATCH = TypeAdapter(NewBatch)

_Count: TypeAlias = Annotated[int, Field(ge=0)]
_Usd: TypeAlias = Annotated[
    str, Field(pattern=_USD_TEXT, description="USD; text, so that no reader makes a float of it", examples=["0.0031"])
]
_Rows: TypeAlias = list[dict[str, Any]]
_Text: TypeAlias = str | None
_BATCH: dict[str, Any] = {
    "batch": UUID,
    "name": _Text,
    "created_at": datetime,
    "jobs": _Count,
    **{state.value: _Count for state in State},
    "held": Annotated[_Count, Field(description="of the waiting, those that wait for a person")],
    "over_budget": _Count,
    "attempts": _Count,
    "cost_usd": _Usd,
    "unknown_costs": Annotated[_Count, Field(description="attempts whose cost is not in it")],
    "max_cost_usd": _Usd | None,
}
_END: dict[str, Any] = {
    "state": State,
    "model": _Text,
    "error": _Text,
    "fallback_depth": int | None,
    "cost_usd": _Usd | None,
}

Batch = create_model("Batch", **_BATCH)
Submitted = create_model(
    "Submitted",
    **_BATCH,
    is_new=Annotated[bool, Field(description="false for a known key: nothing was added")],
    short_of_time=Annotated[_Text, Field(description="half-price jobs that go live, and the time they would need")],
)
Batches = create_model("Batches", batches=list[Batch], has_more=bool)
Cancelled = create_model("Cancelled", batch=UUID, cancelled=_Count, in_flight=_Count, in_message_batches=_Count)
Job = create_model(
    "Job",
    id=UUID,
    batch_id=UUID,
    prompt_id=str,
    state=State,
    story=Annotated[list[str], Field(description="all that happened, as sentences")],
    attempts=_Rows,
    decisions=_Rows,
    parts=_Rows,
)
JobLine = create_model("JobLine", job=UUID, id=str, outcome=_Text, **_END)
Result = create_model("Result", id=str, text=_Text, stop_reason=_Text, **_END)
Start = create_model("Start", model=str, jobs=_Count, verdict=str, message=str)
Health = create_model("Health", starts=list[Start])
Reason = create_model("Reason", type=str, message=str)
Error = create_model("Error", type=Literal["error"], error=Reason, request_id=str)
MODELS = (NewBatch, Batch, Submitted, Batches, Cancelled, Job, JobLine, Result, Health, Error)
