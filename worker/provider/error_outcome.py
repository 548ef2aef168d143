"""The blame for an error: one outcome for a status and the words of the error.

A fault of the key needs the API's own words, or those of the endpoint's cloud. A reply of a host in between blames
neither the key nor the model. A compatible server speaks for itself, in other shapes.
"""

import re

from models.chain.provider_error import ProviderError
from models.outcome import Outcome

_REDIRECT, _CLIENT_ERROR, _SERVER_ERROR = 300, 400, 500
_PASSING = {408, 409, 421, 425, 499}  # the next try may do
_BILLED_BEHIND_A_GATEWAY = {504, 524, 598}  # the gateway waits no longer; the call behind the gateway may go on
_OF_THE_KEY = {401, 402, 403}
_BY_STATUS = {
    404: Outcome.MODEL_MISSING,
    413: Outcome.TOO_LARGE,
    429: Outcome.RATE_LIMITED,
    529: Outcome.OVERLOADED,
    **dict.fromkeys(_PASSING, Outcome.SERVER_ERROR),
}
_BY_CODE = {
    "ramp_limit_exceeded": Outcome.RAMP_LIMITED,
    "organization_on_hold": Outcome.UNAUTHORIZED,  # sent with 400, as the next two, and yet not about the job
    "cmek_key_disabled": Outcome.UNAUTHORIZED,
    "cmek_key_network_blocked": Outcome.UNAUTHORIZED,
}
STATUS_OF = {  # a gateway may wrap any of them in a 500
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
}
_STATUS_OF_A_CLOUD = {**STATUS_OF, "api_error": 500, "overloaded_error": 529}  # AWS has 400 for a quota
_KEY_KINDS = {"authentication_error", "billing_error", "permission_error"}
_ABOUT_THE_REQUEST = {400, 413, 422}

# A 400 that names a field quotes names that the caller chose, and is never about the account.
_FORM = re.compile(
    r"extra inputs are not permitted|field required|input should|should be a valid|should match|at (most|least) \d+ "
)
_FIELD = re.compile(r"[\w\[\]-]*[._\d\[][\w.\[\]-]*: ")
_QUOTE = re.compile(r"(?<!\w)'[^']*'(?!\w)|\"[^\"]*\"|`[^`]*`")
_WHO = r"(?:organi[sz]ation|workspace|account|subscription|tenant|api key|api access|billing)s?"
_OFF = (
    r"(?:disabled|deactivated|suspended|on hold|terminated|cancell?ed|closed|banned|blocked|locked|frozen|restricted"
    r"|inactive|not active|no longer active|(?:turned|switched|shut) off|shut down|revoked|paused|expired|archived"
    r"|deleted|delinquent|past due)"
)
_BEFORE = (
    r"(?:(?:this|your|the|an?|our|all|any|sorry|request|requests|access|api|to|of|for|by|from|use|usage|service|is|has"
    r"|been|anthropic|claude|parent|current|associated|on|with|behalf|because|since|denied|rejected|refused|failed"
    r"|error|that|which|belongs)\W+)"
)
_ACCOUNT_IS_OFF = re.compile(
    rf"^\W*{_BEFORE}{{0,12}}{_WHO}\b(?:[^.;]{{0,60}}?\b(?:is|was|are|been|being|got|remains)\b[^.;]{{0,40}}?|\W+)\b{_OFF}\b"
    rf"|\b(?:we|anthropic)\b[^.;]{{0,40}}\b{_OFF}\b[^.;]{{0,20}}\b{_WHO}\b"
    rf"|^\W*{_BEFORE}{{0,12}}{_WHO}\W+has (?:expired|lapsed|ended)\b|\b{_OFF}\s+(?:anthropic\s+|api\s+)?{_WHO}\b"
    rf"|^\W*(?:\w+\W+){{0,2}}access\b[^.;]{{0,40}}\b(?:been|was|is)\W+(?:\w+\W+)?{_OFF}\b"
)
_A_FEATURE = re.compile(
    r"\b(?:features?|tools?|search|beta|caching|batch|batches|files?|code execution|models?|thinking|fetch|skills?|mcp"
    r"|version|endpoint|region|header)\b|\bclaude-\w"
)
_ONE_MODEL = re.compile(r"\b(?:this|that|the|requested) model\b|\bclaude-\w")
_BUDGET = r"(?:spend|spending|usage|budget|billing|credits?|monthly|cost|prepaid)"
_FENCE = r"(?:limits?|caps?|thresholds?|quotas?|allowances?|budgets?)"
_GONE = r"(?:reached|exceed(?:s|ed)?|hit|exhausted|used up|depleted)"
_MONEY_IS_SPENT = re.compile(
    rf"\b{_BUDGET}\W+(?:\w+\W+)?{_FENCE}\b.{{0,40}}\b{_GONE}\b|\b{_GONE}\b.{{0,60}}?\b{_BUDGET}\b.{{0,20}}?\b{_FENCE}\b"
    r"|\bcredit balance\b.{0,20}\b(?:low|empty|zero|negative|insufficient|depleted|exhausted)\b"
    r"|\bcredits?\b.{0,20}\b(?:exhausted|used up|depleted|insufficient|run out)\b"
    r"|\b(?:insufficient|not enough|no more|no remaining|out of)\W+(?:\w+\W+)?(?:credits?|funds|balance)\b"
    r"|\bpayment (?:is |was )?(?:required|overdue|past due|failed|declined)\b|\b(?:unpaid|overdue) (?:invoice|balance)"
    r"|\b(?:purchase|buy|add)\W+(?:more |api )?(?:credits|funds)\b"
)
_A_RATE = re.compile(r"\brate limit|per[ -](?:minute|second|hour)|tokens per|requests per")
_TOO_LONG = re.compile(
    r"(?<![\w.])(?:prompt|input|request|conversation|messages?|context)s?\W+(?:or \w+\W+)?(?:\w+\W+){0,2}?"
    r"(?:is|are|was|were)\W+(?:\w+\W+)?too long"
    r"|\bexceed\w*\W+(?:(?!output)\w+\W+){0,6}?(?:context|window|token limit|max(?:imum)? (?:input|prompt|context))"
    r"|\b(?:context|prompt|input)\W+(?:\w+\W+){0,2}?(?:window|length|limit|size|tokens?)\W+(?:\w+\W+){0,6}?"
    r"(?:exceed|overflow|too (?:long|large|many)|larger than|greater than|above)"
    r"|maximum context length|too many (?:input |prompt |context )?tokens|reduce the length of|\btokens > \d"
    r"|not fit (?:in|into|within)\W.{0,40}(?:context|window)|longer than\b.{0,40}\b(?:context|window)"
    r"|^(?!.*\boutput\b).*\b(?:tokens?|prompt|context)\b.{0,40}\bexceed\w*\b.{0,40}\b(?:limit|maximum|max|capacity)\b"
    r"|context[_ ]?(?:length|window)[_ ]?exceeded|contextwindowexceeded"
)
_FILTERED = re.compile(
    r"content[ _-]?(?:filter|polic|moderation|management polic|safety)|contentpolicy|responsibleaipolicy"
    r"|\b(?:safety|moderation|output|response) (?:filter|classifier|polic|system)"
    r"|\b(?:output|response|completion|answer|generation)\b.{0,40}\b(?:blocked|filtered|flagged|withheld)\b"
    r"|\b(?:blocked|filtered|flagged|stopped)\b.{0,40}\b(?:filter|filters|filtering|moderation|safety|classifiers?)\b"
    r"|\bviolat\w+\b.{0,60}\b(?:polic(?:y|ies)|guidelines)\b"
)
_NO_MODEL = re.compile(
    r"\b(?:invalid|unknown|unsupported|no such|unrecogni[sz]ed) model\b"
    r"|\bmodel\b.{0,80}\b(?:not found|not exist|doesn't exist|not available|no longer (?:available|supported)|retired"
    r"|deprecated|decommissioned|not (?:been )?(?:deployed|enabled|configured))\b"
    r"|\bmodel identifier is invalid\b"
    r"|\bmodel\b.{0,200}\b(?:not servable in|end of its life|throughput isn.t supported)\b"
    r"|\bno (?:healthy )?(?:deployments?|endpoints?|providers?) (?:available |found )?for\b|model_not_found"
)
_NO_ACCESS = re.compile(
    r"\b(?:no|not have|lacks?|without|denied)\W+(?:\w+\W+){0,2}?access\b.{0,60}(?:\bmodels?\b|\bclaude-\w)"
    r"|(?:\bmodel|\bclaude-[\w.-]+)\b.{0,60}\bnot (?:allowed|permitted|authorized|enabled|entitled|open)\b"
    r"|\bnot (?:allowed|permitted|authorized) to use\b.{0,20}\bmodel\b"
)
_NAMES_A_MODEL = re.compile(r"\bmodels?\b|\bclaude-\w")
# A server such as llama.cpp refuses a request with a 500. Each copy of that request fails alike, and no other does.
_UNFIT = re.compile(
    r"\b(?:not (?:yet )?(?:supported|implemented)|unsupported|(?:is|are) required|missing required"
    r"|(?:must|should) (?:be|have|not|contain)|cannot (?:be parsed|parse)|failed to parse|parse[ _]error)\b"
)


def outcome_of(status: int, error: ProviderError, *, is_direct: bool = False) -> Outcome:
    """Judge a response that is no 200 by its status, its form and its sender's words.

    `is_direct` is as in `Received`. An error that no rule knows is the request's own, and another model is asked once
    before the job fails.
    """
    if status < _CLIENT_ERROR:
        return Outcome.REDIRECTED if status >= _REDIRECT else Outcome.MALFORMED
    if error.form == "quoted" and status >= _SERVER_ERROR:
        status = STATUS_OF.get(error.kind, status)
    if error.form == "cloud":
        status = _STATUS_OF_A_CLOUD.get(error.kind, status)
    blame = _of_the_account(status, error) if error.is_own else None
    blame = blame or _of_the_request(status, error)
    if blame is None and is_direct and error.form != "page" and not error.is_own:
        blame = _of_the_server(status, error)
    return blame or (_of_the_api(status, error) if error.is_own else _in_between(status))


def _of_the_account(status: int, error: ProviderError) -> Outcome | None:
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    if error.code.endswith("spend_limit_reached"):
        return Outcome.SPEND_LIMIT
    text = error.text.lower()
    if _FORM.search(text) or _FIELD.match(text):
        return None
    text = _QUOTE.sub("", text)
    if status in {400, 403, 429} and _MONEY_IS_SPENT.search(text) and not _A_RATE.search(text):
        return Outcome.SPEND_LIMIT
    other = _ONE_MODEL if status in _OF_THE_KEY else _A_FEATURE
    is_off = status in {400, 422, *_OF_THE_KEY} and _ACCOUNT_IS_OFF.search(text) and not other.search(text)
    return Outcome.UNAUTHORIZED if is_off else None


def _of_the_request(status: int, error: ProviderError) -> Outcome | None:
    """Judge by the words that every sender passes on alike; a page has no such words."""
    if error.form == "page" or status >= _SERVER_ERROR:
        return None
    text = f"{error.text} {error.code} {error.kind}".lower()
    if status in _ABOUT_THE_REQUEST and not _FORM.search(text) and _TOO_LONG.search(text):
        return Outcome.TOO_LONG
    if error.form == "text":
        return None
    is_about_a_field = _FORM.search(text) or (error.is_own and _FIELD.match(text))
    if status in {400, 403, 422, 451} and not is_about_a_field and _FILTERED.search(text):
        return Outcome.REFUSED
    if status in {400, 404, 422} and not is_about_a_field and _NO_MODEL.search(text):
        return Outcome.MODEL_MISSING
    denying = _NAMES_A_MODEL if status in {401, 403} else _NO_ACCESS
    is_denied = status in {400, 401, 403} and not is_about_a_field and denying.search(text)
    return Outcome.MODEL_DENIED if is_denied else None


def _of_the_server(status: int, error: ProviderError) -> Outcome | None:
    """Judge an error of a compatible server by its status, or by the words of a 500."""
    if status in _OF_THE_KEY:
        return Outcome.UNAUTHORIZED
    is_unfit = status == _SERVER_ERROR and _UNFIT.search(error.text.lower())
    return Outcome.REJECTED if is_unfit else None


def _of_the_api(status: int, error: ProviderError) -> Outcome:
    if error.kind == "overloaded_error":
        return Outcome.OVERLOADED
    if status >= _SERVER_ERROR:
        return _BY_STATUS.get(status, Outcome.SERVER_ERROR)
    if error.kind == "rate_limit_error":
        return Outcome.RATE_LIMITED
    return _BY_STATUS.get(status) or _by_kind(status, error.kind)


def _by_kind(status: int, kind: str) -> Outcome:
    is_of_the_key = status in _OF_THE_KEY and kind != "invalid_request_error"
    if is_of_the_key or (status == _CLIENT_ERROR and kind in _KEY_KINDS):
        return Outcome.UNAUTHORIZED
    is_known = status == _CLIENT_ERROR and kind == "invalid_request_error"
    return Outcome.BAD_REQUEST if is_known else Outcome.REJECTED


def _in_between(status: int) -> Outcome:
    """Judge an error that is not the API's: a firewall's, a proxy's, a gateway's of its own."""
    if status in _BILLED_BEHIND_A_GATEWAY:
        return Outcome.TIMED_OUT
    by_status = _BY_STATUS.get(status, Outcome.SERVER_ERROR if status >= _SERVER_ERROR else Outcome.BLOCKED)
    # A 404 that is not the API's is about an address, not about a model.
    return Outcome.BLOCKED if by_status is Outcome.MODEL_MISSING else by_status
