"""The OpenAPI 3.1 document of /api/v1; a test holds the server to it."""

from collections.abc import Mapping, Sequence
from typing import Any

from models.outcome import State
from producer.files.record_to_prompt import API_PARAMETERS
from producer.web.http.bodies import MOST_PROMPTS
from producer.web.http.labels import LISTED, MOST_LISTED

_Schema = dict[str, Any]
_STORED: _Schema = {"type": "string", "pattern": r"^[^\u0000]*$"}  # no database keeps a NUL
_VISIBLE: _Schema = {"type": "string", "pattern": r"^[^\u0000]*[^\s\u0000\u001c-\u001f\u0085][^\u0000]*$"}
_LABEL: _Schema = {**_VISIBLE, "maxLength": 200}
_TAG: _Schema = {**_STORED, "maxLength": 200}
_TOKENS: _Schema = {"type": "integer", "minimum": 1, "maximum": 10_000_000}
_USD: _Schema = {
    "type": "string",
    "description": "USD; text, so that no reader makes a float of it",
    "pattern": r"^[0-9]{1,9}(\.[0-9]{1,9})?$",
    "examples": ["0.0031"],
}
USD_ABOVE_0 = r"^(0\.[0-9]{0,8}[1-9]0{0,8}|[1-9][0-9]{0,8}(\.[0-9]{1,9})?)$"
_CAP: _Schema = {**_USD, "pattern": USD_ABOVE_0}
_COLUMN: _Schema = {"anyOf": [_STORED, {"type": ["number", "boolean", "null", "object", "array"]}]}
_ID: _Schema = {"type": "string", "format": "uuid"}
_COUNT: _Schema = {"type": "integer", "minimum": 0}
_TIME: _Schema = {"type": "string", "format": "date-time"}
_HOW_MANY: _Schema = {"type": "integer", "minimum": 1, "maximum": MOST_LISTED, "default": LISTED}


def _or_null(schema: _Schema) -> _Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(required: Mapping[str, _Schema], optional: Mapping[str, _Schema] | None = None) -> _Schema:
    return {"type": "object", "required": [*required], "properties": {**required, **(optional or {})}}


def _ref(name: str) -> _Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: _Schema, said: str) -> _Schema:
    return {"description": said, "content": {"application/json": {"schema": schema}}}


def _errors(*statuses: int) -> _Schema:
    return {str(status): _json(_ref("Error"), _SAID[status]) for status in (*statuses, 401, 403, 503)}


_SAID = {
    400: "What was sent cannot be accepted; nothing was",
    401: "No caller has this token",
    403: "Not from this machine, and there is no CALLERS_FILE",
    404: "Nothing of yours has this id",
    409: "The key is that of a batch with other prompts",
    413: "The body is larger than 256 MB",
    503: "The ledger cannot be reached",
}

_VALUE: _Schema = {
    "description": "any value whose text has no NUL",
    "anyOf": [
        _STORED,
        {"type": ["number", "boolean", "null"]},
        {"type": "array", "items": _ref("Value")},
        {"type": "object", "propertyNames": _STORED, "additionalProperties": _ref("Value")},
    ],
}
_MORE: _Schema = {"propertyNames": _STORED, "additionalProperties": _ref("Value")}  # what the Messages API takes beside

_BLOCK: _Schema = {
    **_object({"type": _VISIBLE}),
    **_MORE,
    "description": "a content block of the Messages API",
    "if": {"properties": {"type": {"const": "text"}}},
    "then": {"required": ["text"], "properties": {"text": _VISIBLE}},
}
_TEXT_BLOCK: _Schema = {**_object({"type": {"const": "text"}, "text": _VISIBLE}), **_MORE}
_CONTENT: _Schema = {"anyOf": [_VISIBLE, {"type": "array", "minItems": 1, "items": _BLOCK}]}
_MESSAGE: _Schema = {**_object({"role": {"enum": ["user", "assistant", "system"]}, "content": _CONTENT}), **_MORE}

MOST_ID = 2**53  # beyond it, readers of JSON take two numbers for one
_NUMBER: _Schema = {"type": "integer", "minimum": -MOST_ID, "maximum": MOST_ID}
_OWN_FIELDS = {
    "id": {**_or_null({"anyOf": [_LABEL, _NUMBER]}), "description": "unique; left out, its place from 1"},
    "system": _or_null(_STORED),
    "max_tokens": {**_or_null(_TOKENS), "default": 1024},
    "task": _or_null(_LABEL),
}

_NEW_BATCH = {
    **_object(
        {"prompts": {"type": "array", "minItems": 1, "maxItems": MOST_PROMPTS, "items": _ref("Prompt")}},
        {
            **{name: _or_null(_LABEL) for name in ("task", "name")},
            "key": {**_or_null(_LABEL), "description": "the same prompts under one key are bought once"},
            "tags": _or_null({"type": "object", "propertyNames": _LABEL, "additionalProperties": _TAG}),
            "max_cost_usd": {"anyOf": [_CAP, {"type": "integer", "minimum": 1, "maximum": 10**9}, {"type": "null"}]},
            "urgent": {"type": "boolean", "default": False},
            "weight": {"type": "integer", "minimum": 1, "maximum": 100, "default": 1},
        },
    ),
    "additionalProperties": False,
}

_BATCH = _object(
    {
        "batch": _ID,
        "name": _or_null(_LABEL),
        "created_at": _TIME,
        "jobs": _COUNT,
        **{state.value: _COUNT for state in State},
        "held": {**_COUNT, "description": "of the waiting, those that wait for a person"},
        "over_budget": _COUNT,
        "attempts": _COUNT,
        "cost_usd": _USD,
        "unknown_costs": {**_COUNT, "description": "attempts whose cost is not in it"},
        "max_cost_usd": _or_null(_USD),
    },
    {"is_new": {"type": "boolean", "description": "false where the key was known: nothing was added"}},
)

_JOB = _object(
    {
        "id": _ID,
        "batch_id": _ID,
        "prompt_id": {"type": "string"},
        "state": {"enum": [state.value for state in State]},
        "story": {"type": "array", "items": {"type": "string"}, "description": "all that happened, as sentences"},
        **{name: {"type": "array", "items": {"type": "object"}} for name in ("attempts", "decisions", "parts")},
    }
)

_JOB_LINE = _object(
    {
        "job": _ID,
        "id": {"type": "string"},
        "state": {"enum": [state.value for state in State]},
        **{name: {"type": ["string", "null"]} for name in ("outcome", "model", "error")},
        "fallback_depth": {"type": ["integer", "null"]},
        "cost_usd": _or_null(_USD),
    }
)

_RESULT = _object(
    {
        "id": {"type": "string"},
        "state": {"enum": [state.value for state in State]},
        **{name: {"type": ["string", "null"]} for name in ("text", "model", "stop_reason", "error")},
        "fallback_depth": {"type": ["integer", "null"]},
        "cost_usd": _or_null(_USD),
    }
)

_ABOUT = (
    "A queue that answers prompts with the cheapest model that will do. The provider's own Messages and Message "
    "Batches APIs are served beside this one, under /v1."
)

_ERROR = _object(
    {
        "type": {"const": "error"},
        "error": _object({"type": {"type": "string"}, "message": {"type": "string"}}),
        "request_id": {"type": "string"},
    }
)

_START = _object(
    {"model": {"type": "string"}, "jobs": _COUNT, "verdict": {"type": "string"}, "said": {"type": "string"}}
)
_ONE = [{"name": "id", "in": "path", "required": True, "schema": _ID}]
_LIMIT = [{"name": "limit", "in": "query", "schema": _HOW_MANY}]
_LISTED = _object({"batches": {"type": "array", "items": _ref("Batch")}, "has_more": {"type": "boolean"}})
_CANCELLED = _object({"batch": _ID, "cancelled": _COUNT, "in_flight": _COUNT})


def _lines(said: str) -> _Schema:
    return {"200": {"description": said, "content": {"application/x-ndjson": {"schema": {"type": "string"}}}}}


_LINKS = {
    operation: {"operationId": operation, "parameters": {"id": "$response.body#/batch"}}
    for operation in ("get_batch", "get_results", "get_jobs", "cancel_batch")
}

_PATHS: _Schema = {
    "/api/v1/batches": {
        "post": {
            "operationId": "create_batch",
            "summary": "Submit prompts as one batch",
            "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("NewBatch")}}},
            "responses": {
                "201": {**_json(_ref("Batch"), "Accepted, and kept"), "links": _LINKS},
                "200": _json(_ref("Batch"), "The same prompts were sent under this key before"),
                **_errors(400, 409, 413),
            },
        },
        "get": {
            "operationId": "list_batches",
            "summary": "The newest batches",
            "parameters": _LIMIT,
            "responses": {"200": _json(_LISTED, "The newest first"), **_errors(400)},
        },
    },
    "/api/v1/batches/{id}": {
        "parameters": _ONE,
        "get": {
            "operationId": "get_batch",
            "summary": "Where a batch is",
            "responses": {"200": _json(_ref("Batch"), "Its jobs by state"), **_errors(404)},
        },
    },
    "/api/v1/batches/{id}/results": {
        "parameters": _ONE,
        "get": {
            "operationId": "get_results",
            "summary": "Every job as it is now",
            "responses": {**_lines("A Result a line"), **_errors(404)},
        },
    },
    "/api/v1/batches/{id}/jobs": {
        "parameters": _ONE,
        "get": {
            "operationId": "get_jobs",
            "summary": "Every job's id, and where it is",
            "responses": {**_lines("A JobLine a line"), **_errors(404)},
        },
    },
    "/api/v1/batches/{id}/cancel": {
        "parameters": _ONE,
        "post": {
            "operationId": "cancel_batch",
            "summary": "Cancel what is open; calls in flight end, and are billed",
            "responses": {"200": _json(_CANCELLED, "How many jobs were cancelled"), **_errors(404)},
        },
    },
    "/api/v1/jobs/{id}": {
        "parameters": _ONE,
        "get": {
            "operationId": "get_job",
            "summary": "A job's whole story",
            "responses": {"200": _json(_ref("Job"), "Every attempt, skip and wait, with its reason"), **_errors(404)},
        },
    },
    "/api/v1/health": {
        "get": {
            "operationId": "get_health",
            "summary": "How today's jobs fare where they start",
            "responses": {
                "200": _json(_object({"starts": {"type": "array", "items": _START}}), "A verdict a model"),
                **_errors(),
            },
        },
    },
}


def openapi(models: Sequence[str]) -> dict[str, Any]:
    """Describe the API of a server with this chain."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Stepdown", "version": "1", "description": _ABOUT},
        "security": [{"bearer": []}, {"key": []}, {}],
        "paths": _PATHS,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
            "schemas": {
                "Value": _VALUE,
                "Prompt": _prompt(models),
                "NewBatch": _NEW_BATCH,
                "Batch": _BATCH,
                "Job": _JOB,
                "JobLine": _JOB_LINE,
                "Result": _RESULT,
                "Error": _ERROR,
            },
        },
    }


def _prompt(models: Sequence[str]) -> _Schema:
    """Describe a prompt as a line of a JSONL file is read; fields that are not named here are columns."""
    model = {**_or_null({"enum": [*models]}), "description": "start lies between ceiling and floor in the chain"}
    own: _Schema = {**_OWN_FIELDS, **dict.fromkeys(("start", "floor", "ceiling"), model)}
    own |= dict.fromkeys(sorted(API_PARAMETERS), False)
    whole = {"type": "array", "minItems": 1, "items": _MESSAGE}
    columns = {"type": "object", "propertyNames": _STORED, "additionalProperties": _COLUMN}
    text = {**columns, "required": ["prompt"], "properties": {"prompt": _VISIBLE, "messages": False, **own}}
    blocks = {"anyOf": [*own["system"]["anyOf"], {"type": "array", "items": _TEXT_BLOCK}]}
    asked = {"messages": whole, "prompt": False, **own, "system": blocks}
    messages = {**columns, "required": ["messages"], "properties": asked}
    return {
        "description": "its text alone, or an object; other fields are columns that come back with its answer",
        "anyOf": [_VISIBLE, text, messages],
    }
