"""Whatever happens in whatever order: what was accepted ends once, and what was paid for has its row."""

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Engine

from tests.faults.machine import Life


def test_in_any_order_of_steps_and_faults_the_invariants_hold(engine: Engine) -> None:
    class Here(Life):
        pass

    Here.engine = engine
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
