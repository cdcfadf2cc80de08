import os
import sys
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from iotsphere.localstack.postgres import PostgresAddress, forget_stale_process_id


def test_the_address_means_the_same_to_every_driver() -> None:
    dsn = PostgresAddress(Path("/run/x y"), "", timescaledb=False).dsn(role="r", password="p-_", database="d")

    assert conninfo_to_dict(dsn) == {
        "user": "r", "password": "p-_", "dbname": "d", "host": "/run/x y", "port": "5432",
    }  # fmt: skip
    assert dict(make_url(dsn).query) == {"host": "/run/x y", "port": "5432"}


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_pid_file_that_names_some_other_program_is_removed(tmp_path: Path) -> None:
    (tmp_path / "postmaster.pid").write_text(f"{os.getpid()}\n/data\n")

    forget_stale_process_id(tmp_path)

    assert not (tmp_path / "postmaster.pid").exists()


@pytest.mark.parametrize("text", ["", "4194999\n/data\n", "damaged\n"])
def test_a_pid_file_that_names_nobody_is_left_to_postgres(tmp_path: Path, text: str) -> None:
    (tmp_path / "postmaster.pid").write_text(text)

    forget_stale_process_id(tmp_path)

    assert (tmp_path / "postmaster.pid").read_text() == text


def test_a_cluster_without_a_pid_file_is_left_alone(tmp_path: Path) -> None:
    forget_stale_process_id(tmp_path)

    assert list(tmp_path.iterdir()) == []
