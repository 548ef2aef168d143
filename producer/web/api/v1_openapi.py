"""The OpenAPI 3.1 document of /api/v1. A test compares the document with the server."""

from collections.abc import Sequence

from pydantic.json_schema import models_json_schema

from producer.files.record_to_prompt import API_PARAMETERS
from producer.prompt.check_prompt import MOST_TOKENS
from producer.web.api.v1_values import LABEL, MODELS, MOST_ID, STORED, VISIBLE, Schema
from producer.web.http.request import LISTED, MOST_LISTED

_REF = "#/components/schemas/{model}"
_NULL: Schema = {"type": "null"}
_MEANINGS = {
    400: "What was sent cannot be accepted; nothing was",
    401: "No caller has this token",
    403: "Not from this machine, and there is no CALLERS_FILE; or for an operator alone",
    404: "Nothing of yours has this id",
    408: "The body came too slowly",
    409: "The key is that of a batch with other prompts",
    413: "The body is larger than 256 MB",
    429: "You have no request left in this minute, or too many bodies in hand; `retry-after` tells when",
    500: "This server has a mistake, or is not set up",
    503: "The ledger cannot be reached, or this server is full",
}


def _ref(name: str) -> Schema:
    return {"$ref": _REF.format(model=name)}


def _json(name: str, meaning: str) -> Schema:
    return {"description": meaning, "content": {"application/json": {"schema": _ref(name)}}}


def _lines(meaning: str) -> Schema:
    return {"description": meaning, "content": {"application/x-ndjson": {"schema": {"type": "string"}}}}


_LINKS = {
    operation: {"operationId": operation, "parameters": {"id": "$response.body#/batch"}}
    for operation in ("get_batch", "get_results", "get_jobs", "cancel_batch")
}
_LIMIT: Schema = {"type": "integer", "minimum": 1, "maximum": MOST_LISTED, "default": LISTED}
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
_BATCHES, _BATCH = "/api/v1/batches", "/api/v1/batches/{id}"
_OPERATIONS: tuple[tuple[str, str, str, str, Schema, tuple[int, ...]], ...] = (
    ("get", _BATCHES, "list_batches", "The newest batches", _json("Batches", "The newest first"), (400,)),
    ("get", _BATCH, "get_batch", "One batch", _json("Batch", "Its jobs by state"), (404,)),
    ("get", f"{_BATCH}/results", "get_results", "Every job as it is now", _lines("A Result a line"), (404,)),
    ("get", f"{_BATCH}/jobs", "get_jobs", "Every job's id and state", _lines("A JobLine a line"), (404,)),
    ("post", f"{_BATCH}/cancel", "cancel_batch", "Cancel open jobs", _json("Cancelled", "How many"), (404, 429)),
    ("get", "/api/v1/jobs/{id}", "get_job", "One job", _json("Job", "All that happened, with its reason"), (404,)),
    ("get", "/api/v1/health", "get_health", "Today's jobs by start model", _json("Health", "A verdict a model"), ()),
)
_CREATE: Schema = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("NewBatch")}}},
    "responses": {
        "201": {**_json("Submitted", "Accepted, and kept"), "links": _LINKS},
        "200": _json("Submitted", "The same prompts were sent under this key before"),
    },
}


def _operation(name: str, summary: str, own: Schema, errors: Sequence[int]) -> Schema:
    refused = {str(status): _json("Error", _MEANINGS[status]) for status in (*errors, 401, 403, 500, 503)}
    return {"operationId": name, "summary": summary, **own, "responses": own["responses"] | refused}


def _paths() -> Schema:
    """Return every path with its operations."""
    errors = (400, 408, 409, 413, 429)
    paths: Schema = {_BATCHES: {"post": _operation("create_batch", "Submit prompts as one batch", _CREATE, errors)}}
    for method, path, name, summary, answer, statuses in _OPERATIONS:
        operation = _operation(name, summary, {"responses": {"200": answer}}, statuses)
        paths.setdefault(path, {"parameters": [_ID]} if "{id}" in path else {})[method] = operation
    paths[_BATCHES]["get"]["parameters"] = [{"name": "limit", "in": "query", "schema": _LIMIT}]
    return paths


_VALUE: Schema = {
    "description": "any value whose text has no NUL",
    "anyOf": [
        STORED,
        {"type": ["number", "boolean", "null"]},
        {"type": "array", "items": _ref("Value")},
        {"type": "object", "propertyNames": STORED, "additionalProperties": _ref("Value")},
    ],
}
_COLUMN: Schema = {"anyOf": [STORED, {"type": ["number", "boolean", "null", "object", "array"]}]}


def _api_object(**properties: Schema) -> Schema:
    """Describe an object of the Messages API, which has more fields than these."""
    more = {"propertyNames": STORED, "additionalProperties": _ref("Value")}
    return {"type": "object", "required": [*properties], "properties": properties, **more}


_BLOCK: Schema = {
    **_api_object(type=VISIBLE),
    "description": "a content block of the Messages API",
    "if": {"properties": {"type": {"const": "text"}}},
    "then": {"required": ["text"], "properties": {"text": VISIBLE}},
}
_TEXT_BLOCK = _api_object(type={"const": "text"}, text=VISIBLE)
_CONTENT: Schema = {"anyOf": [VISIBLE, {"type": "array", "minItems": 1, "items": _BLOCK}]}
_MESSAGE = _api_object(role={"enum": ["user", "assistant", "system"]}, content=_CONTENT)
_NUMBER: Schema = {"type": "integer", "minimum": -MOST_ID, "maximum": MOST_ID}


def _prompt(models: Sequence[str]) -> Schema:
    """Describe a prompt, which is read as a line of a JSONL file is. Other fields are columns."""
    model = {"enum": [*models, None], "description": "start lies between ceiling and floor in the chain"}
    own: Schema = {
        "id": {"anyOf": [LABEL, _NUMBER, _NULL], "description": "unique; left out, its place from 1"},
        "system": {"anyOf": [STORED, _NULL]},
        "max_tokens": {"type": ["integer", "null"], "minimum": 1, "maximum": MOST_TOKENS, "default": 1024},
        "task": {"anyOf": [LABEL, _NULL]},
        **dict.fromkeys(("start", "floor", "ceiling"), model),
        **dict.fromkeys(sorted(API_PARAMETERS), False),
    }
    blocks = {"anyOf": [STORED, _NULL, {"type": "array", "items": _TEXT_BLOCK}]}
    messages = {"type": "array", "minItems": 1, "items": _MESSAGE}
    columns = {"type": "object", "propertyNames": STORED, "additionalProperties": _COLUMN}
    of_text = {**own, "prompt": VISIBLE, "messages": False}
    of_messages = {**own, "messages": messages, "system": blocks, "prompt": False}
    return {
        "description": "its text alone, or an object; other fields are columns that come back with its answer",
        "anyOf": [
            VISIBLE,
            {**columns, "required": ["prompt"], "properties": of_text},
            {**columns, "required": ["messages"], "properties": of_messages},
        ],
    }


_ABOUT = (
    "A queue that answers prompts with the cheapest model that will do. The provider's own Messages and Message "
    "Batches APIs are served beside this one, under /v1."
)
_SCHEMAS: Schema = models_json_schema([(model, "validation") for model in MODELS], ref_template=_REF)[1]["$defs"]
_SCHEMAS["NewBatch"]["properties"]["prompts"]["items"] = _ref("Prompt")  # read prompt by prompt, by the rules of a file


def openapi(models: Sequence[str]) -> Schema:
    """Return the document of a server with this chain."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Stepdown", "version": "1", "description": _ABOUT},
        "security": [{"bearer": []}, {"key": []}, {}],
        "paths": _paths(),
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
            "schemas": {**_SCHEMAS, "Value": _VALUE, "Prompt": _prompt(models)},
        },
    }
