"""The tour in the README is walked: every command runs, and every answer has the form that is printed there."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from features.support.running import ADMIN_PASSWORD, RunningPlatform

ROOT = Path(__file__).parents[3]
BLOCK = re.compile(r"^```(sh|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "~ next block ~"


@pytest.fixture
def platform() -> Iterator[RunningPlatform]:
    platform = RunningPlatform(admin_email="admin@iotsphere.local")
    platform.start()
    yield platform
    try:
        assert platform.stop() == 0
    finally:
        platform.remove()


def tour() -> list[tuple[str, str]]:
    text = (ROOT / "README.md").read_text()
    return BLOCK.findall(text.partition("<!-- tour")[2].partition("<!-- end of the tour -->")[0])


def form(value: Any) -> Any:
    """Reduce an answer to what does not change from run to run: its members and their kinds."""
    if isinstance(value, dict):
        return {key: form(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [form(inner) for inner in value[:1]]
    return "number" if isinstance(value, int | float) else type(value).__name__


def test_the_tour_can_be_walked(platform: RunningPlatform) -> None:
    blocks = tour()
    script = f"\necho; echo '{MARK}'\n".join(text for kind, text in blocks if kind == "sh")
    script = script.replace("http://127.0.0.1:8080", platform.url).replace(
        "'the password that was printed'", f"'{ADMIN_PASSWORD}'"
    )
    script = script.replace(". .venv/bin/activate", f"PATH={Path(sys.executable).parent}:$PATH")
    with tempfile.TemporaryDirectory() as folder:
        walked = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env=os.environ | {"PORT": str(platform.port)},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )

    assert walked.returncode == 0, walked.stderr
    answers = iter(walked.stdout.split(MARK))
    for (kind, _), (following, printed) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        answer = next(answers) if kind == "sh" else ""
        if kind == "sh" and following == "json":
            assert form(json.loads(answer)) == form(json.loads(printed))
