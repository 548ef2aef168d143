"""The caps over a call, and the words for a call that does not fit under a cap."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from models.callers import caller_cap
from models.job.call_tree import tree_scope
from models.job.values import Cap, Claim, OverCap, batch_scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """The most a UTC day may cost in USD: in all, for a task, for a tag such as `team=media`.

    `tree_usd` caps a tree of calls for good. With `waits`, a job that does not fit today waits for tomorrow, else it
    fails.
    """

    day_usd: Decimal | None = None
    by_task: Mapping[str, Decimal] = field(default_factory=dict)
    by_tag: Mapping[str, Decimal] = field(default_factory=dict)
    tree_usd: Decimal | None = None
    waits: bool = True

    def over(self, claim: Claim) -> tuple[Cap, ...]:
        """Return the caps over a job, in the order of the scopes. The amount of a batch's cap is in the ledger."""
        tags = {f"{name}={value}" for name, value in claim.tags.items()}
        tag_cap = caller_cap(claim.tags)
        # A cap of the settings is newer than the caller's.
        by_tag = self.by_tag if tag_cap is None else {tag_cap[0]: tag_cap[1], **self.by_tag}
        caps = [Cap(scope=f"tag:{tag}", cap_usd=usd) for tag, usd in by_tag.items() if tag in tags]
        caps += [Cap(scope=f"task:{task}", cap_usd=usd) for task, usd in self.by_task.items() if task == claim.task]
        if self.day_usd is not None:
            caps.append(Cap(scope="day", cap_usd=self.day_usd))
        if self.tree_usd is not None and claim.tree is not None:
            caps.append(Cap(scope=tree_scope(claim.tree), cap_usd=self.tree_usd))
        if claim.has_cap:
            caps.append(Cap(scope=batch_scope(str(claim.batch_id)), cap_usd=None))
        return tuple(sorted(caps, key=lambda cap: cap.scope))


def over_cap_message(over: OverCap) -> str:
    """Return the message for a call that does not fit under a cap.

    >>> over_cap_message(OverCap(cap=Cap(scope="day", cap_usd=Decimal(5)), cap_usd=Decimal(5), gone_usd=Decimal("4.9"),
    ...                reserved_usd=Decimal(0), needs_usd=Decimal("0.25")))
    "over budget: this call may cost $0.25, and of the day's cap of $5 $4.9 are spent and $0 reserved"
    """
    scope = "the day" if over.cap.scope == "day" else over.cap.scope
    return (
        f"over budget: this call may cost ${_usd(over.needs_usd)}, and of {scope}'s cap of ${_usd(over.cap_usd)} "
        f"${_usd(over.gone_usd)} are spent and ${_usd(over.reserved_usd)} reserved"
    )


def over_cap_details(over: OverCap) -> dict[str, str]:
    """Return the cap's scope and the amounts in USD, as text."""
    amounts = {"cap": over.cap_usd, "gone": over.gone_usd, "reserved": over.reserved_usd, "needs": over.needs_usd}
    return {"scope": over.cap.scope, **{f"{name}_usd": f"{usd:f}" for name, usd in amounts.items()}}


def _usd(amount: Decimal) -> str:
    whole = f"{amount:f}"
    return whole.rstrip("0").rstrip(".") if "." in whole else whole
