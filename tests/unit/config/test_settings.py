from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path

import pytest

from iotsphere.config import (
    Settings,
    SettingsError,
    child_environment,
    read_client_settings,
    read_complete_settings,
    read_settings,
)
from iotsphere.throttling.model import Limit, RequestLimits

COMPLETE = {
    "IOTSPHERE_REGISTRY_DSN": "postgresql://role:p%40ss@/registry?host=/run/sockets",
    "IOTSPHERE_ASSETS_DSN": "postgres://role@db.example:5432/assets?sslmode=require",
    "IOTSPHERE_TELEMETRY_DSN": "postgresql://role@[::1]/telemetry",
    "IOTSPHERE_SHADOW_URL": "unix://user:password@/run/valkey.sock?db=0",
    "IOTSPHERE_SECRET_KEY": "0123456789abcdef0123456789abcdef",
}
OTHERS = [
    "IOTSPHERE_ADMIN_EMAIL",
    "IOTSPHERE_ADMIN_PASSWORD",
    "IOTSPHERE_ARCHIVE_DIR",
    "IOTSPHERE_CACHE_DIR",
    "IOTSPHERE_COMPRESS_AFTER_DAYS",
    "IOTSPHERE_HOST",
    "IOTSPHERE_LOG_LEVEL",
    "IOTSPHERE_PASSWORD_MIB",
    "IOTSPHERE_PREVIOUS_SECRET_KEYS",
    "IOTSPHERE_RATE_ADDRESS",
    "IOTSPHERE_RATE_KEY",
    "IOTSPHERE_RATE_ORGANISATION",
    "IOTSPHERE_RATE_USER",
    "IOTSPHERE_TRUSTED_HOPS",
    "IOTSPHERE_URL",
    "DATA_DIR",
    "PORT",
]


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*COMPLETE, *OTHERS):
        monkeypatch.delenv(name, raising=False)


def set_all(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_without_any_setting_the_local_stack_provides_everything() -> None:
    assert read_settings() == Settings(
        registry_dsn=None,
        assets_dsn=None,
        telemetry_dsn=None,
        shadow_url=None,
        secret_key=None,
        admin_email="admin@iotsphere.local",
        admin_password=None,
        host="127.0.0.1",
        port=8080,
        data_dir=None,
        cache_dir=None,
        log_level="info",
    )


def test_an_empty_setting_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    unset = read_settings()

    set_all(monkeypatch, dict.fromkeys([*COMPLETE, *OTHERS], ""))

    assert read_settings() == unset


def test_every_setting_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    values = COMPLETE | {
        "IOTSPHERE_ADMIN_EMAIL": "ada@example.org",
        "IOTSPHERE_ADMIN_PASSWORD": "correct horse $HOME {x}",
        "IOTSPHERE_HOST": "0.0.0.0",
        "IOTSPHERE_LOG_LEVEL": "WARNING",
        "IOTSPHERE_CACHE_DIR": "cache",
        "IOTSPHERE_ARCHIVE_DIR": "archive",
        "IOTSPHERE_COMPRESS_AFTER_DAYS": "30",
        "IOTSPHERE_PASSWORD_MIB": "1024",
        "IOTSPHERE_RATE_KEY": "3",
        "IOTSPHERE_RATE_USER": "0.5/7",
        "IOTSPHERE_RATE_ORGANISATION": "1000000/1000000",
        "IOTSPHERE_RATE_ADDRESS": "OFF",
        "IOTSPHERE_TRUSTED_HOPS": "2",
        "IOTSPHERE_PREVIOUS_SECRET_KEYS": f"{'a' * 32}, {'b' * 40},",
        "DATA_DIR": "~/data",
        "PORT": "65535",
    }
    set_all(monkeypatch, values)

    settings = read_settings()

    assert [getattr(settings, field.name) for field in fields(settings)] == [
        *COMPLETE.values(),
        "ada@example.org",
        "correct horse $HOME {x}",
        "0.0.0.0",
        65535,
        Path.home() / "data",
        Path.cwd() / "cache",
        "warning",
        RequestLimits(
            # Two seconds' worth at once, unless it is said; a third of a second is rounded to fewer requests.
            key=Limit("key", 333_334, 6),
            user=Limit("user", 2_000_000, 7),
            organisation=Limit("organisation", 1, 1_000_000),
            address=None,
        ),
        2,
        ("a" * 32, "b" * 40),
        Path.cwd() / "archive",
        timedelta(days=30),
        1024 * 1024,
    ]


def test_readings_may_never_be_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings().compress_after == timedelta(days=7)

    monkeypatch.setenv("IOTSPHERE_COMPRESS_AFTER_DAYS", "Never")

    assert read_settings().compress_after is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IOTSPHERE_PREVIOUS_SECRET_KEYS", f"{'a' * 32},secret"),
        ("IOTSPHERE_REGISTRY_DSN", "secret"),
        ("IOTSPHERE_REGISTRY_DSN", "mysql://u:secret@h/db"),
        ("IOTSPHERE_REGISTRY_DSN", "postgresql+asyncpg://u:secret@h/db"),
        ("IOTSPHERE_REGISTRY_DSN", "postgresql://u:secret@h:port/db"),
        ("IOTSPHERE_ASSETS_DSN", "postgresql://u:secret@h:99999/db"),
        ("IOTSPHERE_TELEMETRY_DSN", "postgresql://u:secret@[::1/db"),
        ("IOTSPHERE_SHADOW_URL", "http://u:secret@h"),
        ("IOTSPHERE_SHADOW_URL", "redis://u:secret@h:x"),
        ("IOTSPHERE_SECRET_KEY", "secret"),
        ("IOTSPHERE_LOG_LEVEL", "loud"),
        ("IOTSPHERE_RATE_KEY", "many"),
        ("IOTSPHERE_RATE_KEY", "0"),
        ("IOTSPHERE_RATE_KEY", "0.0001"),
        ("IOTSPHERE_RATE_KEY", "-1"),
        ("IOTSPHERE_RATE_KEY", "1e3"),
        ("IOTSPHERE_RATE_KEY", "nan"),
        ("IOTSPHERE_RATE_USER", "10/0"),
        ("IOTSPHERE_RATE_USER", "10/"),
        ("IOTSPHERE_RATE_USER", "/10"),
        ("IOTSPHERE_RATE_ORGANISATION", "1000001"),
        ("IOTSPHERE_RATE_ADDRESS", "10/1000001"),
        ("IOTSPHERE_RATE_ADDRESS", "10 per second"),
        ("IOTSPHERE_COMPRESS_AFTER_DAYS", "0"),
        ("IOTSPHERE_COMPRESS_AFTER_DAYS", "36501"),
        ("IOTSPHERE_COMPRESS_AFTER_DAYS", "0.5"),
        ("IOTSPHERE_PASSWORD_MIB", "11"),
        ("IOTSPHERE_PASSWORD_MIB", "1025"),
        ("IOTSPHERE_PASSWORD_MIB", "64 MiB"),
        ("IOTSPHERE_TRUSTED_HOPS", "-1"),
        ("IOTSPHERE_TRUSTED_HOPS", "10"),
        ("IOTSPHERE_TRUSTED_HOPS", "yes"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", "80.0"),
        ("PORT", "eighty"),
        ("PORT", "\uff19\uff10"),
        ("PORT", "9" * 5000),
        ("DATA_DIR", "~nobody-of-this-name/data"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_and_no_secret_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=name) as refusal:
        read_settings()

    assert "secret" not in str(refusal.value)


def test_a_process_without_stores_of_its_own_names_all_that_it_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, COMPLETE)
    assert read_complete_settings() == read_settings()

    monkeypatch.delenv("IOTSPHERE_ASSETS_DSN")
    monkeypatch.setenv("IOTSPHERE_SECRET_KEY", "")

    with pytest.raises(SettingsError, match=r"^Not set: IOTSPHERE_ASSETS_DSN, IOTSPHERE_SECRET_KEY\. .*iotsphere up"):
        read_complete_settings()


def test_a_child_reads_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, {"IOTSPHERE_ADMIN_EMAIL": "ada@example.org", "UNRELATED": "kept"})
    provided = replace(
        read_settings(),
        registry_dsn=COMPLETE["IOTSPHERE_REGISTRY_DSN"],
        assets_dsn=COMPLETE["IOTSPHERE_ASSETS_DSN"],
        telemetry_dsn=COMPLETE["IOTSPHERE_TELEMETRY_DSN"],
        shadow_url=COMPLETE["IOTSPHERE_SHADOW_URL"],
        secret_key=COMPLETE["IOTSPHERE_SECRET_KEY"],
        port=9090,
        log_level="debug",
    )
    environment = child_environment(provided)
    assert environment["UNRELATED"] == "kept"

    set_all(monkeypatch, environment)

    assert read_settings() == provided


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"PORT": "9090"}, "http://127.0.0.1:9090"),
        ({"PORT": "9090", "IOTSPHERE_URL": "https://iot.example"}, "https://iot.example"),
    ],
)
def test_a_client_looks_for_the_platform_where_it_is_served(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], url: str
) -> None:
    set_all(monkeypatch, values)

    assert read_client_settings().url == url
    assert read_client_settings().email == "admin@iotsphere.local"
