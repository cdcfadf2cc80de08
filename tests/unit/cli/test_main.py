import subprocess
import sys

from typer.core import TyperGroup
from typer.main import get_command

from iotsphere.cli.main import COMMANDS, make_app

HEAVY = ["sqlalchemy", "redis", "psycopg", "pyarrow", "quart", "hypercorn"]


def names_for(*arguments: str) -> list[str]:
    group = get_command(make_app(arguments))
    assert isinstance(group, TyperGroup)
    return list(group.commands)


def test_the_command_that_is_asked_for_is_there_alone() -> None:
    assert {name: names_for(name, "--help") for name in COMMANDS} == {name: [name] for name in COMMANDS}


def test_who_asks_for_none_or_mistypes_is_told_of_all() -> None:
    assert names_for() == names_for("--help") == names_for("simul", "up") == list(COMMANDS)


def test_what_speaks_to_the_platform_or_becomes_another_program_loads_no_driver_and_no_server() -> None:
    asking = "import sys; from iotsphere.cli.main import make_app; make_app(sys.argv[1:]); print(*sys.modules)"

    for name in ("simulate", "replay", "export", "import", "serve", "worker"):
        loaded = subprocess.run([sys.executable, "-c", asking, name], check=True, capture_output=True, text=True)
        assert set(HEAVY) & set(loaded.stdout.split()) == set(), name
