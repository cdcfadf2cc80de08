from pathlib import Path

import pytest

from iotsphere.localstack import data_folder
from iotsphere.localstack.account import Account, server_account
from iotsphere.localstack.data_folder import DataFolder
from iotsphere.localstack.errors import LocalStackError


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("version", ["2 17\n", "99", "2"])
async def test_a_newer_layout_is_refused_and_nothing_is_touched(tmp_path: Path, version: str) -> None:
    (tmp_path / "VERSION").write_text(version)

    with pytest.raises(LocalStackError, match="update IoTSphere"):
        async with DataFolder(tmp_path).held():
            pass

    assert everything_in(tmp_path) == {"VERSION": version.encode()}


@pytest.mark.parametrize("version", [b"", b"one", b"-1 17", b"\xff\xfe", b"1.5"])
async def test_a_damaged_version_is_refused_and_nothing_is_touched(tmp_path: Path, version: bytes) -> None:
    (tmp_path / "VERSION").write_bytes(version)

    with pytest.raises(LocalStackError, match="VERSION is damaged"):
        async with DataFolder(tmp_path).held():
            pass

    assert everything_in(tmp_path) == {"VERSION": version}


async def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")

    for path in (tmp_path / "data", tmp_path / "data" / "below"):
        with pytest.raises(LocalStackError, match="is not a folder"):
            async with DataFolder(path).held():
                pass

    assert everything_in(tmp_path) == {"data": b"mine"}


async def test_a_folder_in_use_is_refused_at_once_and_free_again_afterwards(tmp_path: Path) -> None:
    async with DataFolder(tmp_path).held():
        with pytest.raises(LocalStackError, match="another IoTSphere is running"):
            async with DataFolder(tmp_path).held():
                pass

    async with DataFolder(tmp_path).held():
        pass


async def test_servers_that_outlive_their_supervisor_keep_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_folder, "ORPHAN_WAIT_SECONDS", 0.0)

    async with data_folder.exclusive_lock(tmp_path / "servers.lock", wait_seconds=0, refusal=""):
        with pytest.raises(LocalStackError, match="servers of an earlier run"):
            async with DataFolder(tmp_path).held():
                pass


def test_the_major_version_binds_only_while_there_are_databases(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.record_version(17)
    assert folder.version() == (1, None)

    (tmp_path / "postgres").mkdir()
    assert folder.version() == (1, 17)


def test_a_server_folder_takes_its_place_only_when_it_is_complete(tmp_path: Path) -> None:
    folder, account = DataFolder(tmp_path), server_account()

    def break_off() -> None:
        with folder.new_server_folder("postgres", account) as draft:
            (draft / "half").write_text("")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert folder.server_folder("postgres", account) is None
    assert list(tmp_path.iterdir()) == []

    with folder.new_server_folder("postgres", account) as draft:
        (draft / "whole").write_text("")
    assert folder.server_folder("postgres", account) == tmp_path / "postgres"
    assert [path.name for path in tmp_path.rglob("*")] == ["postgres", "whole"]


def test_what_a_killed_preparation_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "postgres.new").mkdir()
    (tmp_path / "postgres.new" / "half").write_text("")

    with DataFolder(tmp_path).new_server_folder("postgres", server_account()):
        pass

    assert list((tmp_path / "postgres").iterdir()) == []


def test_a_folder_of_another_account_is_refused(tmp_path: Path) -> None:
    folder, account = DataFolder(tmp_path), server_account()
    with folder.new_server_folder("postgres", account):
        pass
    stranger = Account("stranger", uid=account.uid + 1, gid=account.gid, switch=False)

    with pytest.raises(LocalStackError, match="start this as the user who made the folder"):
        folder.server_folder("postgres", stranger)


def test_a_large_log_makes_room_and_a_small_one_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_folder, "LOG_LIMIT_BYTES", 3)
    folder = DataFolder(tmp_path)
    path = folder.log_path("postgres")

    path.write_text("123")
    assert folder.log_path("postgres").read_text() == "123"

    path.write_text("1234")
    assert not folder.log_path("postgres").exists()
    assert (tmp_path / "log" / "postgres.log.1").read_text() == "1234"
