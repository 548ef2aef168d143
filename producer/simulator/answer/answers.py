"""Every word a script may answer with: the body, the delivery, and whether the answer is billed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from producer.simulator.answer.pages import PAGES, Page
from producer.simulator.request.errors import ERRORS, ApiError

Delivery = Literal["whole", "hang", "stall", "drip", "reset_before", "reset_after", "cut", "error_event", "pings"]
BREAKING = frozenset(("stall", "reset_after", "cut", "error_event", "pings"))  # in the middle of a stream
Content = Literal["message", "error", "page", "malformed", "empty", "no_usage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer of a word; `billed` is the provider's presumed billing unless the rule has its own.

    `needs` and `takes` are the extra fields of a rule with this answer. The answer `raw` has its page from the rule.
    """

    word: str
    delivery: Delivery = "whole"
    content: Content = "message"
    error: ApiError | None = None
    page: Page | None = None
    billed: bool = True
    needs: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()

    @property
    def is_of_wire(self) -> bool:
        """Whether the answer is a fault of a connection or of a gateway. No item of a message batch has one."""
        whole = self.delivery == "whole" and self.content in ("message", "error", "no_usage")
        return not whole or self.word == "error_200"


_RETRY_AFTER = {"429", "429_ramp_limit", "500", "502", "503", "529"}
# A 5xx is presumed free; a rule may make an answer with such a word generated and billed.
_MAY_BE_BILLED = {"408", "409", "425", "499", "500", "502", "503", "504", "529"}


def _error_answer(word: str, error: ApiError) -> Answer:
    takes = {"retry_after_s", "retry_after_form"} if word in _RETRY_AFTER else set()
    takes |= {"billed"} if word in _MAY_BE_BILLED else set()
    return Answer(word=word, content="error", error=error, billed=False, takes=frozenset(takes))


def _page_answer(word: str, page: Page) -> Answer:
    takes = {"location"} if word[0] == "3" else {"billed"}
    return Answer(word=word, content="page", page=page, billed=False, takes=frozenset(takes))


def _generated(
    word: str,
    *,
    delivery: Delivery = "whole",
    content: Content = "message",
    needs: str = "",
    takes: str = "",
) -> Answer:
    extra = {"billed", "web_searches", "iterations", "message", "usage", "tokens_per_s", "without"}
    return Answer(
        word=word,
        delivery=delivery,
        content=content,
        needs=frozenset(needs.split()),
        takes=frozenset(extra | set(takes.split())),
    )


_RAW_TAKES = frozenset({"body", "content_type", "headers", "billed"})

ANSWERS: dict[str, Answer] = {
    answer.word: answer
    for answer in (
        *(_error_answer(word, error) for word, error in ERRORS.items()),
        Answer(word="error_200", content="error", error=ERRORS["529"], billed=False),
        *(_page_answer(word, page) for word, page in PAGES.items() if word != "200_page"),
        Answer(word="raw", content="page", billed=False, needs=frozenset({"status"}), takes=_RAW_TAKES),
        Answer(word="html_200", content="page", page=PAGES["200_page"], takes=frozenset({"billed"})),
        _generated("ok"),
        _generated("slow", needs="delay_s"),
        _generated("text", needs="text"),
        _generated("hang", delivery="hang"),
        _generated("drip", delivery="drip", takes="every_s"),
        _generated("reset_before", delivery="reset_before"),
        _generated("reset_after", delivery="reset_after", takes="after_events"),
        _generated("cut", delivery="cut", takes="after_events"),
        _generated("stall", delivery="stall", takes="after_events"),
        _generated("pings", delivery="pings", takes="after_events every_s"),
        _generated("error_event", delivery="error_event", takes="after_events error_type"),
        _generated("malformed", content="malformed"),
        _generated("empty", content="empty"),
        _generated("no_usage", content="no_usage"),
        _generated("other_model", needs="served_model"),
        _generated("other_tier", needs="service_tier"),
        _generated("geo_us"),
        _generated("refusal", takes="output category explanation"),
        _generated("tool_use", needs="tool", takes="tool_input text"),
        _generated("max_tokens"),
        _generated("context_exceeded"),
        _generated("pause_turn"),
        _generated("thinking_only"),
        _generated("empty_turn"),
        _generated("odd_stop", takes="stop_reason"),
        _generated("usage_x10"),
    )
}
