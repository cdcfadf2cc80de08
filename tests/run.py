"""Runs every check in order and sums them up. ``make test`` and CI call this and nothing else."""

import argparse
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent

CHECKS: dict[str, list[list[str]]] = {
    "lint": [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["lint-imports"],
    ],
    "features": [
        ["behave", "--dry-run", "--no-summary", "--format", "null"],
        ["coverage", "run", "-m", "behave", "--format", "progress"],
    ],
    # Last, so that a runner's closing line ends the output.
    "tests": [["coverage", "run", "-m", "pytest"]],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=CHECKS, help="run one group alone")
    chosen = parser.parse_args().only
    groups = [chosen] if chosen else list(CHECKS)
    _run(["coverage", "erase"])
    failed = [" ".join(command) for group in groups for command in CHECKS[group] if not _run(command)]
    if "tests" in groups:
        _run(["coverage", "combine", "--quiet"])
        _run(["coverage", "report"])
    print("\nFailed: " + "; ".join(failed) if failed else "\nEvery check passed.")  # noqa: T201
    return 1 if failed else 0


def _run(command: list[str]) -> bool:
    began = time.monotonic()
    print(f"\n== {' '.join(command)}", flush=True)  # noqa: T201
    status = subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, check=False).returncode
    print(f"== {'ok' if status == 0 else 'FAILED'} after {time.monotonic() - began:.0f} s", flush=True)  # noqa: T201
    return status == 0


if __name__ == "__main__":
    sys.exit(main())
