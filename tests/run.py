"""Runs every check and sums them up. ``make test`` and CI call this and nothing else.

The features and the tests run side by side: for much of their time they wait. What the features say is shown when
they are done, and then what the tests say, so that a runner's closing line ends the output.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import Self

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent

FIRST: dict[str, list[list[str]]] = {
    "lint": [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["lint-imports"],
    ],
    "features": [["behave", "--dry-run", "--no-summary", "--format", "null"]],
    "tests": [],
}
# Those that wait for much of their time are done first: the last two to end keep two processors busy.
TESTS = (
    ["tests/unit", "tests/api", "tests/architecture", "tests/contract"],
    ["tests/faults", "tests/migrations"],
    ["tests/integration"],
)
SIDE_BY_SIDE: dict[str, list[list[str]]] = {
    "features": [["behave", "--format", "progress"]],
    "tests": [["pytest", *folders] for folders in TESTS],
}


class Running:
    """A check that runs beside others; what it says is kept until it is shown. It ends with the block."""

    def __init__(self, command: list[str]) -> None:
        self.command = command
        self._said = TemporaryFile()  # noqa: SIM115  # closed at the end of the block
        self._shown = 0

    def __enter__(self) -> Self:
        # In a session of its own, so that Ctrl-C reaches it through us alone, and no server before it is stopped.
        self._process = subprocess.Popen(
            [BIN / self.command[0], *self.command[1:]],
            cwd=ROOT,
            # Or what it says would come in pieces of some thousand letters.
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            stdout=self._said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return self

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._said.close()

    def wait(self) -> None:
        self._process.wait()

    def show(self) -> bool:
        """Show what it has said and says until it ends; tell whether all was well."""
        _say(f"\n== {' '.join(self.command)}")
        while True:
            has_ended = self._process.poll() is not None
            self._show_more()
            if has_ended:
                return self._process.returncode == 0
            time.sleep(0.1)

    def _show_more(self) -> None:
        # Reading would move the place where the check writes.
        while more := os.pread(self._said.fileno(), 65_536, self._shown):
            sys.stdout.buffer.write(more)
            self._shown += len(more)
        sys.stdout.flush()

    def interrupt(self) -> None:
        """Have it end as if it had been interrupted itself, and stop what it has started."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=FIRST, help="run one group alone")
    parser.add_argument("--coverage", action="store_true", help="measure which lines are run, at twice the cost")
    chosen = parser.parse_args()
    groups = [chosen.only] if chosen.only else list(FIRST)
    measured = ["coverage", "run", "-m"] if chosen.coverage else []
    # Also where we were told to ignore it, as in the background of a script.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        failed = [command for group in groups for command in FIRST[group] if not _run(command)]
        if chosen.coverage:
            _run(["coverage", "erase"])
        if len(groups) > 1:
            _say("\n== features and tests, side by side; this takes minutes")
        failed += run_side_by_side(
            [[*measured, *command] for group in groups for command in SIDE_BY_SIDE.get(group, [])]
        )
        if chosen.coverage:
            _run(["coverage", "combine", "--quiet"])
            _run(["coverage", "report"])
    except KeyboardInterrupt:
        return 130
    if failed:
        print("\nFailed: " + "; ".join(map(" ".join, failed)), file=sys.stderr)  # noqa: T201
    return 1 if failed else 0


def _run(command: list[str]) -> bool:
    began = time.monotonic()
    _say(f"\n== {' '.join(command)}")
    status = subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, check=False).returncode
    _say(f"== {'ok' if status == 0 else 'FAILED'} after {time.monotonic() - began:.0f} s")
    return status == 0


def run_side_by_side(commands: Sequence[list[str]]) -> list[list[str]]:
    """Run them at once, show each when those before it are done, and give those that failed.

    When we are interrupted, all of them are.
    """
    with ExitStack() as running:
        checks = [running.enter_context(Running(command)) for command in commands]
        try:
            for check in checks[:-1]:
                check.wait()
            return [check.command for check in checks if not check.show()]
        except KeyboardInterrupt:
            for check in checks:
                check.interrupt()
            for check in checks:
                check.show()
            raise


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
