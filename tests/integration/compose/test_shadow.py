"""What the shadow service's own settings allow, and whom."""

from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis import exceptions as refusals
from redis.backoff import NoBackoff
from redis.retry import Retry

from iotsphere.localstack.valkey import ADMINISTRATOR, USER, USER_RIGHTS
from tests.unit.compose.compose_file import environment


@pytest.fixture
def administrator(shadow_socket: Path) -> Redis:
    return client(shadow_socket, ADMINISTRATOR, environment("shadow")["SHADOW_ADMIN_PASSWORD"])


@pytest.fixture
def application(shadow_socket: Path) -> Redis:
    return client(shadow_socket, USER, environment("shadow")["SHADOW_PASSWORD"])


def client(path: Path, user: str | None, password: str | None) -> Redis:
    at_once = Retry(NoBackoff(), 0)
    return Redis(unix_socket_path=str(path), username=user, password=password, decode_responses=True, retry=at_once)


def send(connection: Redis, command: str) -> Any:
    return connection.execute_command(*command.split())  # type: ignore[no-untyped-call]


def test_the_user_has_the_rights_that_the_local_stack_gives(administrator: Redis) -> None:
    with administrator:
        send(administrator, f"ACL SETUSER reference on >x {USER_RIGHTS}")
        expected, given = (administrator.acl_getuser(name) for name in ("reference", USER))
        administrator.acl_deluser("reference")

    assert given
    assert expected
    assert given | {"passwords": []} == expected | {"passwords": []}


def test_there_are_two_accounts_and_neither_is_open_to_everybody(administrator: Redis, shadow_socket: Path) -> None:
    with administrator:
        accounts = {rule.split()[1]: rule.split()[2] for rule in administrator.acl_list()}

    assert accounts == {ADMINISTRATOR: "on", USER: "on", "default": "off"}
    for stranger in (client(shadow_socket, None, None), client(shadow_socket, USER, "guess")):
        with stranger, pytest.raises(refusals.AuthenticationError):
            stranger.ping()


def test_the_application_works_inside_its_key_space_and_nowhere_else(application: Redis) -> None:
    with application:
        assert application.set("iotsphere:a", "1")
        assert application.eval("return redis.call('INCR', KEYS[1])", 1, "iotsphere:a") == 2
        for command in ("GET other", "FLUSHALL", "CONFIG GET *", "ACL LIST"):
            with pytest.raises(refusals.NoPermissionError):
                send(application, command)


def test_every_change_is_on_disk_before_it_is_acknowledged(administrator: Redis, application: Redis) -> None:
    with administrator, application:
        application.set("iotsphere:b", "1")
        settings = administrator.config_get("append*")
        assert (settings["appendonly"], settings["appendfsync"]) == ("yes", "always")
        assert send(application, "WAITAOF 1 0 2000") == [1, 0]
