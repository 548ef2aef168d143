"""The table behind each decision: one row for each outcome of an attempt."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from models.outcome import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row of the table: the way to go, and the retries on the same rung. `lasting` gives the rung up for good."""

    go: Literal["keep", "climb", "next", "look", "larger", "other_group", "pause_key", "continue", "stop"]
    retries: int = 0
    lasting: bool = False


# A rung whose call may have been billed is never bought again (lasting). An attempt with an unknown end is not
# repeated. A free failure is tried again after a wait, round after round, until the job's deadline. `look`: nobody
# knows whether another model helps, so one other model is asked, and no third.
RULES: Mapping[Outcome, Rule] = {
    Outcome.ANSWERED: Rule(go="keep"),
    Outcome.TRUNCATED: Rule(go="climb", lasting=True),
    Outcome.REFUSED: Rule(go="climb", lasting=True),
    Outcome.UNFINISHED: Rule(go="continue"),
    Outcome.UNCLEAR: Rule(go="look", lasting=True),
    Outcome.EMPTY: Rule(go="climb", lasting=True),
    Outcome.INVALID: Rule(go="climb", lasting=True),
    Outcome.MALFORMED: Rule(go="next", lasting=True),
    Outcome.CUT: Rule(go="next", lasting=True),
    Outcome.TIMED_OUT: Rule(go="next", lasting=True),
    Outcome.UNREACHABLE: Rule(go="next", retries=1),
    Outcome.BAD_REQUEST: Rule(go="stop"),
    Outcome.REJECTED: Rule(go="look", lasting=True),
    Outcome.BLOCKED: Rule(go="look", lasting=True),
    Outcome.TOO_LARGE: Rule(go="stop"),
    Outcome.TOO_LONG: Rule(go="larger", lasting=True),
    Outcome.SPEND_LIMIT: Rule(go="pause_key"),
    Outcome.UNAUTHORIZED: Rule(go="pause_key"),
    Outcome.REDIRECTED: Rule(go="pause_key"),
    Outcome.MODEL_MISSING: Rule(go="next", lasting=True),
    Outcome.MODEL_DENIED: Rule(go="next", lasting=True),
    Outcome.RATE_LIMITED: Rule(go="other_group"),
    Outcome.RAMP_LIMITED: Rule(go="other_group"),
    Outcome.OVER_LIMIT: Rule(go="next", lasting=True),
    Outcome.SERVER_ERROR: Rule(go="next", retries=1),
    Outcome.OVERLOADED: Rule(go="next"),
    Outcome.NOT_RUN: Rule(go="stop"),  # of an item of a message batch: its job goes live
    Outcome.UNKNOWN: Rule(go="stop", lasting=True),  # written by the rescue, and
    Outcome.LATE: Rule(go="stop"),  # by the ledger: no call ends so
}
CLIMBING = frozenset(outcome for outcome, rule in RULES.items() if rule.go == "climb")
LOOKING = frozenset(str(outcome) for outcome, rule in RULES.items() if rule.go == "look")
ABOUT_THE_KEY = frozenset(outcome for outcome, rule in RULES.items() if rule.go == "pause_key")
