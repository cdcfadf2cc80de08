"""Every import contract holds, and every one of them is seen to fail when it is broken."""

import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Started so that the copy comes first: the editable install would lead the linter to the real packages.
LINT_IMPORTS = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command as run; run()"

# For each contract, a line that breaks it and the module that gets it.
BREACHES = {
    "rings": ("iotsphere/kernel/clock.py", "import iotsphere.registry.model"),
    "composition-root": ("iotsphere/cli/up.py", "import repositories.sql"),
    "pure-core": ("iotsphere/registry/model.py", "import sqlalchemy"),
    "entry-points": ("iotsphere/api/fields.py", "import redis"),
    "driven-side": ("repositories/sql.py", "import quart"),
    "store-independence": ("repositories/assets/assets.py", "import repositories.registry.devices"),
    "registry-owner": ("repositories/registry/devices.py", "import iotsphere.assets.model"),
    "assets-owner": ("repositories/assets/assets.py", "import iotsphere.registry.model"),
    "telemetry-owner": ("repositories/telemetry/tables.py", "import iotsphere.assets.model"),
    "shadow-owner": ("repositories/shadow/store.py", "import sqlalchemy"),
    "throttling-owner": ("repositories/throttling/store.py", "import iotsphere.identity.model"),
    "latest-owner": ("repositories/latest/store.py", "import sqlalchemy"),
    "private-registry-tables": ("iotsphere/containers/stores.py", "import repositories.registry.tables"),
    "private-asset-tables": ("iotsphere/containers/stores.py", "import repositories.assets.tables"),
    "private-telemetry-tables": ("iotsphere/containers/stores.py", "import repositories.telemetry.tables"),
}


def contract_names() -> dict[str, str]:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    prefix = "importlinter:contract:"
    return {
        section.removeprefix(prefix): config[section]["name"]
        for section in config.sections()
        if section.startswith(prefix)
    }


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LINT_IMPORTS, "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_every_contract_has_a_breach() -> None:
    assert BREACHES.keys() == contract_names().keys()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in ("iotsphere", "repositories"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    return tmp_path


@pytest.mark.parametrize("contract", BREACHES)
def test_a_breach_is_found(contract: str, copy: Path) -> None:
    module, line = BREACHES[contract]
    with (copy / module).open("a") as source:
        source.write(f"\n{line}\n")

    found = lint_imports(copy)

    assert found.returncode == 1, found.stdout
    assert f"{contract_names()[contract]} BROKEN" in found.stdout, found.stdout


def test_a_folder_that_declares_no_ring_is_found(copy: Path) -> None:
    (copy / "iotsphere" / "extras").mkdir()
    (copy / "iotsphere" / "extras" / "__init__.py").touch()

    found = lint_imports(copy)

    assert found.returncode == 1
    assert "iotsphere.extras" in found.stdout
