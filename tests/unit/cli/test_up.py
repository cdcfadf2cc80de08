import asyncio
import os
import stat
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from iotsphere.cli.errors import CommandError
from iotsphere.cli.services import stores_to_provide
from iotsphere.cli.up import Platform, Program
from iotsphere.config import Settings, read_settings
from iotsphere.localstack.data_folder import LOG_LIMIT_BYTES
from iotsphere.localstack.stack import ALL_STORES

PlatformMaker = Callable[[Path], Platform]


@pytest.fixture
def make_platform(monkeypatch: pytest.MonkeyPatch) -> PlatformMaker:
    monkeypatch.setenv("IOTSPHERE_CACHE_DIR", "/nowhere")
    return lambda folder: Platform(read_settings(), folder)


def test_a_new_data_folder_is_closed_to_other_users(tmp_path: Path, make_platform: PlatformMaker) -> None:
    folder = tmp_path / "deep" / "data"

    make_platform(folder)._check_data_dir()

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_rights_of_a_data_folder_that_is_there_are_left_alone(
    tmp_path: Path, make_platform: PlatformMaker
) -> None:
    tmp_path.chmod(0o750)

    make_platform(tmp_path)._check_data_dir()

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o750


def test_a_data_folder_that_is_a_file_is_refused_by_name(tmp_path: Path, make_platform: PlatformMaker) -> None:
    file = tmp_path / "data"
    file.touch()

    with pytest.raises(CommandError, match=f"{file} cannot be used: it is a file"):
        make_platform(file)._check_data_dir()


def test_a_data_folder_that_is_a_link_to_nothing_is_not_called_a_file(
    tmp_path: Path, make_platform: PlatformMaker
) -> None:
    link = tmp_path / "data"
    link.symlink_to(tmp_path / "unmounted")

    with pytest.raises(CommandError, match=f"{link} cannot be used: it is a link that leads nowhere"):
        make_platform(link)._check_data_dir()


def test_a_program_whose_log_has_grown_large_begins_a_new_one(tmp_path: Path, make_platform: PlatformMaker) -> None:
    log = tmp_path / "log" / "demo.log"
    log.parent.mkdir()
    log.touch()
    os.truncate(log, LOG_LIMIT_BYTES + 1)
    platform = make_platform(tmp_path)

    platform._run_program("demo", Program(["-c", "print('begun')"], dict(os.environ)))

    assert platform.processes["demo"].wait(timeout=30) == 0
    assert log.read_text(encoding="utf-8") == "begun\n"
    assert log.with_name("demo.log.1").stat().st_size == LOG_LIMIT_BYTES + 1


@pytest.mark.parametrize(
    ("variable", "address", "store"),
    [
        ("IOTSPHERE_REGISTRY_DSN", "postgresql://role@db.example/registry", "registry"),
        ("IOTSPHERE_ASSETS_DSN", "postgresql://role@db.example/assets", "assets"),
        ("IOTSPHERE_TELEMETRY_DSN", "postgresql://role@db.example/telemetry", "telemetry"),
        ("IOTSPHERE_SHADOW_URL", "redis://cache.example/0", "shadow"),
    ],
)
def test_an_address_in_the_environment_takes_the_place_of_a_store(
    monkeypatch: pytest.MonkeyPatch, variable: str, address: str, store: str
) -> None:
    monkeypatch.setenv(variable, address)

    assert stores_to_provide(read_settings()) == ALL_STORES - {store}


async def test_a_stop_asked_for_while_the_administrator_is_made_waits_for_the_password(
    tmp_path: Path, make_platform: PlatformMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, may_end = asyncio.Event(), asyncio.Event()

    async def found_slowly(_: Settings) -> str:
        began.set()
        await may_end.wait()
        return "made-just-now"

    monkeypatch.setattr("iotsphere.cli.up.found_platform", found_slowly)
    platform = make_platform(tmp_path)
    founding = asyncio.ensure_future(platform._found())
    await began.wait()

    founding.cancel()
    may_end.set()

    with pytest.raises(asyncio.CancelledError):
        await founding
    assert platform.password == "made-just-now"


async def test_a_start_that_fails_after_the_administrator_was_made_shows_the_password_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FailingPlatform(Platform):
        async def _start(self) -> None:
            self.password = "made-just-now"
            raise CommandError("The application did not answer.")

    monkeypatch.setenv("IOTSPHERE_CACHE_DIR", "/nowhere")
    monkeypatch.setattr("iotsphere.cli.up.check_port", lambda _: None)
    platform = FailingPlatform(read_settings(), tmp_path, console=Console(file=StringIO()))

    with pytest.raises(CommandError):
        await platform.run()
    platform._show_password()

    assert platform.console.file.getvalue().count("made-just-now") == 1  # type: ignore[attr-defined]
