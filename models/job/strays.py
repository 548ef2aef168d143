"""A job whose worker is gone, as values: the stray, its last attempts, and the rescue."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.chain.chain import RungRange
from models.outcome import OnUnknown, Outcome, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """One attempt of a stray's last claim; `outcome` is None if nobody saw the end."""

    rung: int
    fallback_depth: int
    model: str
    outcome: Outcome | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """A running job whose lease is over: its worker is lost, or cannot reach the ledger."""

    job_id: str
    batch_id: str | None
    token: int
    params: Mapping[str, Any]
    span: RungRange
    rung: int
    given_up: Mapping[int, str]
    on_unknown: OnUnknown | None
    crashes: int
    rebuys: int
    attempts: tuple[Past, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescue:
    """The state in which a rescue leaves a stray: queued, failed, or waiting for a person."""

    state: State
    outcome: str | None
    error: str | None
    rung: int
    given_up: Mapping[int, str]
    crashes: int
    rebuys: int
