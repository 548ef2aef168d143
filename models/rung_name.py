"""The name of a rung: a model, or `endpoint/model` for a model at an endpoint of ENDPOINTS_FILE."""

DEFAULT_ENDPOINT = "anthropic"  # of ANTHROPIC_BASE_URL; a rung there has no prefix


def endpoint_of(rung: str) -> str:
    """Return the endpoint of a rung.

    >>> endpoint_of("bedrock/claude-opus-4-7"), endpoint_of("claude-opus-4-7")
    ('bedrock', 'anthropic')
    """
    endpoint, slash, _ = rung.partition("/")
    return endpoint if slash else DEFAULT_ENDPOINT


def model_of(rung: str) -> str:
    """Return the model of a rung, by our name.

    >>> model_of("bedrock/claude-opus-4-7"), model_of("claude-opus-4-7")
    ('claude-opus-4-7', 'claude-opus-4-7')
    """
    return rung.partition("/")[2] or rung


def named_at(endpoint: str, model: str) -> str:
    """Return the name of the rung of a model at an endpoint.

    >>> named_at("bedrock", "claude-opus-4-7"), named_at("anthropic", "claude-opus-4-7")
    ('bedrock/claude-opus-4-7', 'claude-opus-4-7')
    """
    return model if endpoint == DEFAULT_ENDPOINT else f"{endpoint}/{model}"
