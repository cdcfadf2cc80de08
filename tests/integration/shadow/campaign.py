"""Many lives of shadows on real stores (``make shadow-campaign``), each another course of changes and disasters.

A failure ends it, with the course that led there and the seed that brings it back.
"""

import argparse
import asyncio
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from iotsphere.config import read_settings
from iotsphere.localstack.cache import default_cache_dir
from iotsphere.localstack.stack import LocalStack
from repositories.migrations import upgrade
from tests.integration.shadow.life_of_shadows import LifeOfShadows
from tests.integration.shadow.shadow_world import ShadowWorld

EXAMPLES = 200
STEPS = 25


def tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


class CountedLife(LifeOfShadows):
    lives = 0
    of = EXAMPLES
    began_at = 0.0

    def __init__(self) -> None:
        super().__init__()
        CountedLife.lives += 1
        seconds = time.monotonic() - self.began_at
        tell(f"life {self.lives} of {self.of}, {seconds:.0f} s")


def live(dsn: str, *, runner: asyncio.Runner, chosen: argparse.Namespace) -> None:
    with ShadowWorld(dsn, runner=runner) as world:
        CountedLife.world, CountedLife.of, CountedLife.began_at = world, chosen.examples, time.monotonic()
        run_state_machine_as_test(
            seed(chosen.seed)(CountedLife),
            settings=settings(
                max_examples=chosen.examples,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate],
            ),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=EXAMPLES)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    chosen = parser.parse_args()
    tell(f"seed {chosen.seed}")
    cache_dir = read_settings().cache_dir or default_cache_dir()
    with (
        TemporaryDirectory(prefix="campaign-") as folder,
        asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner,
    ):
        provide = frozenset({"telemetry"})
        stack = LocalStack(Path(folder), cache_dir=cache_dir, provide=provide, durable=False, timescaledb=False)
        dsn = runner.run(stack.start()).telemetry_dsn
        assert dsn is not None
        try:
            upgrade("telemetry", dsn)
            live(dsn, runner=runner, chosen=chosen)
        finally:
            runner.run(stack.stop())


if __name__ == "__main__":
    main()
