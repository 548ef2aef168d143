"""The jobs a process is at work on: renewed while they are, and not longer."""

from collections.abc import Iterable
from dataclasses import replace

from models.job.values import Claim
from tests.support.plays.walk_scene import scene
from worker.recovery.heartbeat import Heartbeat


class Renewed:
    """Remembers what was renewed last."""

    def __init__(self) -> None:
        self.claims: list[Claim] = []

    def renew(self, claims: Iterable[Claim]) -> None:
        self.claims = list(claims)


def _claim() -> Claim:
    one = scene()
    claim = one.ledger.claim(one.job_id, lease_s=60)
    assert claim is not None
    return claim


def test_a_job_is_renewed_while_it_is_in_hand() -> None:
    renewed, claim = Renewed(), _claim()
    heartbeat = Heartbeat(renewed.renew, lease_s=60)
    with heartbeat.holding(claim):
        heartbeat.beat()
        assert renewed.claims == [claim]
    heartbeat.beat()
    assert renewed.claims == []


def test_an_earlier_claim_that_ends_takes_no_later_one_of_the_same_job_with_it() -> None:
    renewed, earlier = Renewed(), _claim()
    later = replace(earlier, token=earlier.token + 1)
    heartbeat = Heartbeat(renewed.renew, lease_s=60)
    held = heartbeat.holding(earlier)
    held.__enter__()
    with heartbeat.holding(later):
        held.__exit__(None, None, None)
        heartbeat.beat()
        assert renewed.claims == [later]
