"""Each mistake of a value names the field, the value unless it may be a secret, and what would be right."""

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter

from models.validation import StrictModel, validated


def _even(number: int) -> int:
    if number % 2:
        raise ValueError
    if number > 100:
        raise ValueError("is too large")
    if number < 0:
        raise ValueError("sign", "should be +")
    return number


class _Wheel(StrictModel):
    size: Annotated[int, Field(description="a whole number of inches")]


class _Car(StrictModel):
    doors: Annotated[int, AfterValidator(_even)] = Field(default=2, description="an even number")
    wheels: list[_Wheel] = Field(default=[], description="a list of wheels")
    colours: dict[str, str] = Field(default={}, description="an object of texts")
    owner: Annotated[str, Field(max_length=3, description="a short name")] | None = Field(default=None, description="x")
    weight: Annotated[str, Field(pattern="^1$", description="1")] | Annotated[int, Field(le=1)] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    __pydantic_config__ = ConfigDict(extra="forbid")
    name: Annotated[str, Field(description="a name")]


_NAMES = "doors, wheels, colours, owner, weight"
_CAR, _KEY = TypeAdapter(_Car), TypeAdapter(_Key)


@pytest.mark.parametrize(
    ("given", "problems"),
    [
        ({"doors": "4"}, [("doors", "'4' should be an even number")]),
        ({"doors": True}, [("doors", "True should be an even number")]),
        ({"doors": 3}, [("doors", "3 should be an even number")]),
        ({"doors": 102}, [("doors", "is too large")]),
        ({"doors": -2}, [("doors.sign", "should be +")]),
        ({"dooors": 4}, [("dooors", f"is unknown; choose from {_NAMES}")]),
        ({"\ud800": 4}, [("\\ud800", f"is unknown; choose from {_NAMES}")]),
        (
            {"x" * 99: 4},
            [("x" * 12 + "..." + "x" * 13, f"is unknown; choose from {_NAMES}")],
        ),
        ({"wheels": 7}, [("wheels", "7 should be a list of wheels")]),
        ({"wheels": [{"size": 1}, {}]}, [("wheels.size", "should be a whole number of inches")]),
        ({"wheels": [{"size": 1, "hub": 2}]}, [("wheels.hub", "is unknown; choose from size")]),
        ({"colours": {"roof": 1}}, [("colours", "1 should be an object of texts")]),
        ({"owner": "Mary"}, [("owner", "'Mary' should be a short name")]),
        ({"weight": 2}, [("weight", "2 should be 1")]),
        ({"doors": 3, "owner": 5}, [("doors", "3 should be an even number"), ("owner", "5 should be a short name")]),
    ],
)
def test_every_mistake_names_its_field_and_what_would_be_right(
    given: dict[str, Any], problems: list[tuple[str, str]]
) -> None:
    assert validated(_CAR, given) == (None, problems)


def test_a_value_that_may_be_a_secret_is_in_no_message() -> None:
    assert validated(_CAR, {"owner": "Mary"}, hides_values=True) == (None, [("owner", "should be a short name")])


def test_a_dataclass_is_checked_as_a_model_is() -> None:
    assert validated(_KEY, {"name": "a"}) == (_Key(name="a"), [])
    assert validated(_KEY, {"nam": "a"}) == (
        None,
        [("name", "should be a name"), ("nam", "is unknown; choose from name")],
    )
