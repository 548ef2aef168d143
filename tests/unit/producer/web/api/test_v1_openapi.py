"""The document of /api/v1 names every answer of every route, and every part that it refers to."""

import json
import re
from typing import Any

import pytest

from producer.web.api.v1_openapi import openapi

_MODELS = ("big", "small")
_ALWAYS = {"401", "403", "500", "503"}
_DOCUMENT = openapi(_MODELS)


def test_every_operation_names_its_answers() -> None:
    operations = [one for path in _DOCUMENT["paths"].values() for one in path.values() if "responses" in one]
    assert all({*one["responses"]} >= _ALWAYS for one in operations)
    assert {one["operationId"]: {*one["responses"]} - _ALWAYS for one in operations} == {
        "create_batch": {"200", "201", "400", "408", "409", "413", "429"},
        "list_batches": {"200", "400"},
        "get_batch": {"200", "404"},
        "get_results": {"200", "404"},
        "get_jobs": {"200", "404"},
        "cancel_batch": {"200", "404", "429"},
        "get_job": {"200", "404"},
        "get_health": {"200"},
    }


def test_every_part_that_is_referred_to_is_there() -> None:
    names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(_DOCUMENT)))
    assert names
    assert names <= {*_DOCUMENT["components"]["schemas"]}
    assert '"$defs"' not in json.dumps(_DOCUMENT)


def test_the_rule_for_tags_is_in_the_document() -> None:
    tags: dict[str, Any] = _DOCUMENT["components"]["schemas"]["NewBatch"]["properties"]["tags"]
    for name in ("caller", "caller_day_cap_usd", "via"):
        assert name in tags["description"]


@pytest.mark.parametrize("field", ["start", "floor", "ceiling"])
def test_a_prompt_may_name_the_models_of_the_chain_alone(field: str) -> None:
    _, text, messages = _DOCUMENT["components"]["schemas"]["Prompt"]["anyOf"]
    assert [each["properties"][field]["enum"] for each in (text, messages)] == [[*_MODELS, None]] * 2
