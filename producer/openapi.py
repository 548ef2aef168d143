"""The OpenAPI 3.1 document of /api/v1; a test holds the server to it."""

from collections.abc import Mapping
from typing import Any

from models.outcome import State

_Schema = dict[str, Any]
_TEXT: _Schema = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"\S"}
_USD: _Schema = {
    "type": "string",
    "description": "USD; text, so that no reader makes a float of it",
    "examples": ["0.0031"],
}
_ID: _Schema = {"type": "string", "format": "uuid"}
_COUNT: _Schema = {"type": "integer", "minimum": 0}
_TIME: _Schema = {"type": "string", "format": "date-time"}


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

_PROMPT = {
    "description": "A prompt: text, or an object as a line of a JSONL file; other fields come back with its answer",
    "anyOf": [
        {"type": "string", "pattern": r"\S"},
        {
            "type": "object",
            "oneOf": [{"required": ["prompt"]}, {"required": ["messages"]}],
            "properties": {
                "prompt": {"type": "string", "pattern": r"\S"},
                "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
                "id": {"anyOf": [_TEXT, {"type": "integer"}], "description": "unique in the batch; else its place"},
                "system": _or_null({"type": "string"}),
                "max_tokens": _or_null({"type": "integer", "minimum": 1}),
                **{name: _or_null(_TEXT) for name in ("task", "start", "floor", "ceiling")},
            },
        },
    ],
}

_NEW_BATCH = {
    **_object(
        {"prompts": {"type": "array", "minItems": 1, "maxItems": 100_000, "items": _ref("Prompt")}},
        {
            **{name: _or_null(_TEXT) for name in ("task", "name")},
            "key": _or_null({**_TEXT, "description": "the same prompts under one key are bought once"}),
            "tags": _or_null({"type": "object", "additionalProperties": {"type": "string", "maxLength": 200}}),
            "max_cost_usd": {"anyOf": [_USD, {"type": "integer", "minimum": 1}, {"type": "null"}]},
            "urgent": {"type": "boolean", "default": False},
            "weight": {"type": "integer", "minimum": 1, "maximum": 100, "default": 1},
        },
    ),
    "additionalProperties": False,
}

_BATCH = _object(
    {
        "batch": _ID,
        "name": _or_null(_TEXT),
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
        **{name: {"type": "array", "items": {"type": "object"}} for name in ("attempts", "decisions")},
    }
)

_RESULT = _object(
    {
        "id": {"type": "string"},
        "text": {"type": ["string", "null"]},
        "model": {"type": ["string", "null"]},
        "fallback_depth": {"type": ["integer", "null"]},
        "stop_reason": {"type": ["string", "null"]},
        "cost_usd": _or_null(_USD),
        "error": {"type": ["string", "null"]},
    }
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
_LIMIT = [{"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 20}}]
_LISTED = _object({"batches": {"type": "array", "items": _ref("Batch")}, "has_more": {"type": "boolean"}})
_CANCELLED = _object({"batch": _ID, "cancelled": _COUNT, "in_flight": _COUNT})
_LINES = {"description": "A Result a line", "content": {"application/x-ndjson": {"schema": {"type": "string"}}}}

_PATHS: _Schema = {
    "/api/v1/batches": {
        "post": {
            "operationId": "create_batch",
            "summary": "Submit prompts as one batch",
            "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("NewBatch")}}},
            "responses": {
                "201": _json(_ref("Batch"), "Accepted, and kept"),
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
            "responses": {"200": _LINES, **_errors(404)},
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

OPENAPI: Mapping[str, Any] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Stepdown",
        "version": "1",
        "description": "A queue that answers prompts with the cheapest model that will do. The provider's own Messages "
        "and Message Batches APIs are served beside this one, under /v1.",
    },
    "security": [{"bearer": []}, {"key": []}, {}],
    "paths": _PATHS,
    "components": {
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer"},
            "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        },
        "schemas": {
            "Prompt": _PROMPT,
            "NewBatch": _NEW_BATCH,
            "Batch": _BATCH,
            "Job": _JOB,
            "Result": _RESULT,
            "Error": _ERROR,
        },
    },
}
