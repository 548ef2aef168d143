"""The name of a rung: a model, or `endpoint/model` for a model at an endpoint of ENDPOINTS_FILE."""

import re

DEFAULT_ENDPOINT = "anthropic"  # of ANTHROPIC_BASE_URL; a rung there has no prefix
_VERSION = r"\d{1,2}(?:[.-]\d{1,2})?"
_FAMILY = re.compile(rf"claude-(?:({_VERSION})-)?([a-z]+)(?:-({_VERSION}))?(?:[-@]\d{{8}}|-latest)?")


def endpoint_of(rung: str) -> str:
    """Return the endpoint of a rung.

    >>> endpoint_of("bedrock/claude-opus-4-7"), endpoint_of("claude-opus-4-7")
    ('bedrock', 'anthropic')
    """
    endpoint, slash, _ = rung.partition("/")
    return endpoint if slash else DEFAULT_ENDPOINT


def is_usual(rung: str) -> bool:
    """Return whether a rung is at the usual API, of ANTHROPIC_BASE_URL.

    >>> is_usual("claude-opus-4-7"), is_usual("bedrock/claude-opus-4-7")
    (True, False)
    """
    return endpoint_of(rung) == DEFAULT_ENDPOINT


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


def family_of(rung: str) -> tuple[str, tuple[int, int]] | None:
    """Return the family and the version of a model. Returns None if the name does not show both.

    >>> family_of("claude-haiku-4-5-20251001"), family_of("bedrock/claude-opus-5")
    (('haiku', (4, 5)), ('opus', (5, 0)))
    >>> family_of("claude-3-7-sonnet-latest")
    ('sonnet', (3, 7))
    >>> family_of("local/qwen3")
    """
    found = _FAMILY.fullmatch(model_of(rung))
    version = None if found is None else found[1] or found[3]
    if found is None or version is None:
        return None
    major, _, minor = version.replace(".", "-").partition("-")
    return found[2], (int(major), int(minor or 0))
