"""Kills the process that serves and the database, in turn, under devices that send (``make telemetry-campaign``).

After every few kills what is stored, and what the ledger says, is held against what the devices were told. The first
reading that is not accounted for ends it.
"""

import argparse
import asyncio
import sys
import time

from tests.faults.telemetry_scene import telemetry_scene

CHECKED_EVERY = 5


async def kill_often(kills: int, *, seed: int) -> None:
    began_at = time.monotonic()
    async with telemetry_scene(seed=seed) as scene:
        recorder = scene.recorder
        disasters = [scene.kill_process, scene.kill_database]
        for begin in range(0, kills, CHECKED_EVERY):
            numbers = range(begin, min(begin + CHECKED_EVERY, kills))
            await recorder.record_through(*(disasters[number % 2] for number in numbers))
            await recorder.check()
            sys.stderr.write(
                f"{numbers.stop} kills in {time.monotonic() - began_at:.0f} s: {recorder.acknowledged} requests "
                f"acknowledged, {recorder.refused} refused, {recorder.unanswered} without an answer; "
                f"{recorder.least.total()} values acknowledged of {recorder.most} sent; all accounted for\n"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    asyncio.run(kill_often(options.kills, seed=options.seed))


if __name__ == "__main__":
    main()
