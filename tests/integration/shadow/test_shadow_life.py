import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from iotsphere.localstack.stack import LocalStack, create_database
from repositories.migrations import upgrade
from tests.integration.shadow.life_of_shadows import LifeOfShadows
from tests.integration.shadow.shadow_world import ShadowWorld

EXAMPLES = 3
STEPS = 8


@pytest.fixture
def world(stack: LocalStack) -> Iterator[ShadowWorld]:
    # Hypothesis waits for nobody, so what is waited for has a loop of its own.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        dsn = runner.run(create_database(stack, "shadow_life", timescaledb=False))
        upgrade("telemetry", dsn)
        with ShadowWorld(dsn, runner=runner) as world:
            yield world


def test_whatever_happens_every_shadow_is_what_was_acknowledged(world: ShadowWorld) -> None:
    LifeOfShadows.world = world
    run_state_machine_as_test(
        LifeOfShadows,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            # Another life each time would be another duration each time; the campaign tries many.
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            # To make a failure smaller takes longer than to read it.
            phases=[Phase.generate],
        ),
    )
