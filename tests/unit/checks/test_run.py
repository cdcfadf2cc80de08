"""How the checks are run."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from features.support.running import eventually
from tests.run import ROOT, TESTS, run_side_by_side

# Both end by themselves should nothing else end them.
MEET = """
import signal, sys
from pathlib import Path
signal.alarm(30)
print(sys.argv[1], "began", flush=True)
Path(sys.argv[1]).touch()
while not Path(sys.argv[2]).exists():
    pass
print(sys.argv[1], "ended", flush=True)
"""
WAIT = """
import signal, sys
from pathlib import Path
signal.alarm(30)
try:
    Path(sys.argv[1]).touch()
    signal.pause()
except KeyboardInterrupt:
    print(sys.argv[1], "was interrupted")
"""
RUN_THEM = f"""
import sys
from tests.run import run_side_by_side
run_side_by_side([["python", "-c", {WAIT!r}, path] for path in sys.argv[1:]])
"""


def program(source: str, *arguments: object) -> list[str]:
    return ["python", "-c", source, *map(str, arguments)]


def test_they_run_at_once_and_what_they_say_is_shown_one_after_the_other(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    first, last = tmp_path / "first", tmp_path / "last"

    assert run_side_by_side([program(MEET, first, last), program(MEET, last, first)]) == []

    said = [line.rpartition("/")[2] for line in capfdbinary.readouterr().out.decode().splitlines()]
    assert [line for line in said if line.endswith((" began", " ended"))] == [
        "first began",
        "first ended",
        "last began",
        "last ended",
    ]
    assert said[-1] == "last ended"


@pytest.mark.parametrize("status", [(0, 0), (1, 0), (0, 2), (1, 1)])
def test_a_failure_of_either_is_told(status: tuple[int, int]) -> None:
    commands = [program("import sys; sys.exit(int(sys.argv[1]))", each, place) for place, each in enumerate(status)]

    assert run_side_by_side(commands) == [command for command, each in zip(commands, status, strict=True) if each]


def test_whoever_interrupts_the_run_interrupts_both_and_sees_what_they_said(tmp_path: Path) -> None:
    paths = [tmp_path / "first", tmp_path / "last"]
    run = subprocess.Popen(
        [sys.executable, "-c", RUN_THEM, *map(str, paths)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    eventually(lambda: all(path.exists() for path in paths), within=30, what="both run")

    run.send_signal(signal.SIGINT)

    said = run.communicate(timeout=30)[0]
    assert [line for line in said.splitlines() if line.endswith(" was interrupted")] == [
        f"{path} was interrupted" for path in paths
    ]
    assert run.returncode != 0


def test_every_folder_of_tests_is_in_a_lane_and_in_one_alone() -> None:
    folders = [f"tests/{folder.name}" for folder in (ROOT / "tests").iterdir() if any(folder.rglob("test_*.py"))]

    assert sorted(folder for lane in TESTS for folder in lane) == sorted(folders)
