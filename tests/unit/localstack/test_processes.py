import asyncio
import os
import sys

import pytest

from iotsphere.localstack.errors import LocalStackError
from iotsphere.localstack.processes import run, telling_lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", ["it wrote nothing"]),
        (" \n\n", ["it wrote nothing"]),
        ("first\nlast\n", ["last"]),
        ("initdb: error: no space\ninitdb: removing it\n", ["initdb: error: no space"]),
        ("E: Failed to fetch it\nE: Some failed\n", ["E: Failed to fetch it", "E: Some failed"]),
        ("LOG:  x\nFATAL:  lock file exists\nHINT:  y", ["FATAL:  lock file exists"]),
    ],
)
def test_the_lines_that_tell_what_went_wrong_are_found(text: str, lines: list[str]) -> None:
    assert telling_lines(text) == lines


async def test_the_output_of_a_command_is_returned() -> None:
    assert await run([sys.executable, "-c", "print('done')"], timeout_seconds=30) == "done\n"


async def test_a_command_that_takes_too_long_is_refused() -> None:
    with pytest.raises(LocalStackError, match="had not finished after"):
        await run([sys.executable, "-c", "import time; time.sleep(600)"], timeout_seconds=0.05)


async def test_a_failed_command_says_why() -> None:
    with pytest.raises(LocalStackError, match="failed: E: no such package"):
        await run([sys.executable, "-c", "raise SystemExit('E: no such package')"], timeout_seconds=30)


async def test_a_command_is_watched_and_ends_with_the_wait_for_it() -> None:
    pids: list[int] = []
    begun = asyncio.Event()

    def note(output: str) -> None:
        if output.endswith("\n"):
            pids.append(int(output))
            begun.set()

    script = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    waiting = asyncio.create_task(run([sys.executable, "-c", script], timeout_seconds=600, watch=note))
    await asyncio.wait_for(begun.wait(), timeout=30)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
