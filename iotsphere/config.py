"""The settings, read from the environment here and nowhere else."""

import os
import re
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from environs import Env, EnvError

from iotsphere.throttling.model import Limit, RequestLimits

DEFAULT_PORT = 8080
DEFAULT_ADMIN_EMAIL = "admin@iotsphere.local"
MIN_SECRET_LENGTH = 32
POSTGRESQL_SCHEMES = ("postgresql://", "postgres://")
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
RATE = re.compile(r"(?P<rate>[0-9]{1,7}(\.[0-9]{1,6})?)(/(?P<burst>[0-9]{1,7}))?")
DEFAULT_COMPRESS_AFTER = timedelta(days=7)
MOST_DAYS = 36_500
# RFC 9106 advises this where memory is not plenty. With its three passes, OWASP finds 12 the least that will do.
DEFAULT_PASSWORD_MIB = 64
LEAST_PASSWORD_MIB, MOST_PASSWORD_MIB = 12, 1024
LEAST_RATE = 0.001
MOST_AT_ONCE = 1_000_000


class SettingsError(Exception):
    """A setting is missing or cannot be used; the sentence names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a process needs to know. A DSN that is None is provided by the local stack.

    DSNs are libpq URLs (``postgresql://user:password@host:5432/database``); ``shadow_url`` is a Redis URL.
    """

    registry_dsn: str | None
    assets_dsn: str | None
    telemetry_dsn: str | None
    shadow_url: str | None
    secret_key: str | None
    admin_email: str
    admin_password: str | None
    host: str
    port: int
    data_dir: Path | None
    cache_dir: Path | None
    log_level: str
    request_limits: RequestLimits = field(default_factory=RequestLimits)
    trusted_hops: int = 0
    previous_secret_keys: tuple[str, ...] = ()
    archive_dir: Path | None = None
    compress_after: timedelta | None = DEFAULT_COMPRESS_AFTER
    password_kib: int = DEFAULT_PASSWORD_MIB * 1024


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Where the command line finds a platform, and as whom it speaks."""

    url: str
    email: str
    password: str | None


def read_settings() -> Settings:
    """Read the settings.

    :raises SettingsError: one of them cannot be used.
    """
    env = Env()
    try:
        return Settings(
            registry_dsn=_dsn(env, "IOTSPHERE_REGISTRY_DSN", POSTGRESQL_SCHEMES),
            assets_dsn=_dsn(env, "IOTSPHERE_ASSETS_DSN", POSTGRESQL_SCHEMES),
            telemetry_dsn=_dsn(env, "IOTSPHERE_TELEMETRY_DSN", POSTGRESQL_SCHEMES),
            shadow_url=_dsn(env, "IOTSPHERE_SHADOW_URL", REDIS_SCHEMES),
            secret_key=_secret_key(env),
            admin_email=_text(env, "IOTSPHERE_ADMIN_EMAIL") or DEFAULT_ADMIN_EMAIL,
            admin_password=_text(env, "IOTSPHERE_ADMIN_PASSWORD"),
            host=_text(env, "IOTSPHERE_HOST") or "127.0.0.1",
            port=_port(env),
            data_dir=_folder(env, "DATA_DIR"),
            cache_dir=_folder(env, "IOTSPHERE_CACHE_DIR"),
            log_level=_log_level(env),
            request_limits=_request_limits(env),
            trusted_hops=_trusted_hops(env),
            previous_secret_keys=_previous_secret_keys(env),
            archive_dir=_folder(env, "IOTSPHERE_ARCHIVE_DIR"),
            compress_after=_compress_after(env),
            password_kib=_password_kib(env),
        )
    except EnvError as error:
        raise SettingsError(str(error)) from error


def read_complete_settings() -> Settings:
    """Read the settings of a process that brings no stores of its own.

    :raises SettingsError: one that it needs is not set, or one cannot be used.
    """
    settings = read_settings()
    needed = {
        "IOTSPHERE_REGISTRY_DSN": settings.registry_dsn,
        "IOTSPHERE_ASSETS_DSN": settings.assets_dsn,
        "IOTSPHERE_TELEMETRY_DSN": settings.telemetry_dsn,
        "IOTSPHERE_SHADOW_URL": settings.shadow_url,
        "IOTSPHERE_SECRET_KEY": settings.secret_key,
    }
    missing = [name for name, value in needed.items() if value is None]
    if missing:
        raise SettingsError(
            f"Not set: {', '.join(missing)}. Set them, or run 'iotsphere up', which brings its own stores."
        )
    return settings


def read_client_settings() -> ClientSettings:
    env = Env()
    return ClientSettings(
        url=_text(env, "IOTSPHERE_URL") or f"http://127.0.0.1:{_port(env)}",
        email=_text(env, "IOTSPHERE_ADMIN_EMAIL") or DEFAULT_ADMIN_EMAIL,
        password=_text(env, "IOTSPHERE_ADMIN_PASSWORD"),
    )


def child_environment(settings: Settings) -> dict[str, str]:
    """Give the variables from which a process started by this one reads the same settings again."""
    values = {
        "IOTSPHERE_REGISTRY_DSN": settings.registry_dsn,
        "IOTSPHERE_ASSETS_DSN": settings.assets_dsn,
        "IOTSPHERE_TELEMETRY_DSN": settings.telemetry_dsn,
        "IOTSPHERE_SHADOW_URL": settings.shadow_url,
        "IOTSPHERE_SECRET_KEY": settings.secret_key,
        "IOTSPHERE_HOST": settings.host,
        "PORT": str(settings.port),
        "IOTSPHERE_LOG_LEVEL": settings.log_level,
        "IOTSPHERE_ARCHIVE_DIR": str(settings.archive_dir) if settings.archive_dir else None,
    }
    # Whoever serves has no use for the administrator's password.
    inherited = {name: value for name, value in os.environ.items() if name != "IOTSPHERE_ADMIN_PASSWORD"}
    return inherited | {name: value for name, value in values.items() if value is not None}


def _text(env: Env, name: str) -> str | None:
    """Read a text; an empty one counts as not set, as compose files and shells leave them."""
    value: str | None = env.str(name, None)
    return value or None


def _dsn(env: Env, name: str, schemes: tuple[str, ...]) -> str | None:
    value = _text(env, name)
    if value is not None and not value.startswith(schemes):
        raise SettingsError(f"{name} must start with {' or '.join(schemes)}.")
    if value is not None and not _is_url(value):
        # The value is not shown: it may hold a password.
        raise SettingsError(f"{name} is not a URL: check its host and port, and percent-encode its password.")
    return value


def _is_url(value: str) -> bool:
    try:
        return urlsplit(value).port != 0
    except ValueError:
        return False


def _log_level(env: Env) -> str:
    value = (_text(env, "IOTSPHERE_LOG_LEVEL") or "info").lower()
    if value not in LOG_LEVELS:
        raise SettingsError(f"IOTSPHERE_LOG_LEVEL must be {', '.join(LOG_LEVELS)}, not {value!r}.")
    return value


def _secret_key(env: Env) -> str | None:
    value = _text(env, "IOTSPHERE_SECRET_KEY")
    if value is not None and len(value) < MIN_SECRET_LENGTH:
        raise SettingsError(f"IOTSPHERE_SECRET_KEY must have at least {MIN_SECRET_LENGTH} characters.")
    return value


def _previous_secret_keys(env: Env) -> tuple[str, ...]:
    values = (value.strip() for value in (_text(env, "IOTSPHERE_PREVIOUS_SECRET_KEYS") or "").split(","))
    keys = tuple(value for value in values if value)
    if any(len(key) < MIN_SECRET_LENGTH for key in keys):
        raise SettingsError(
            f"Each of IOTSPHERE_PREVIOUS_SECRET_KEYS must have at least {MIN_SECRET_LENGTH} characters."
        )
    return keys


def _port(env: Env) -> int:
    value = _text(env, "PORT") or str(DEFAULT_PORT)
    if not re.fullmatch(r"[0-9]{1,5}", value) or not 0 < int(value) < 2**16:
        raise SettingsError(f"PORT must be a number from 1 to 65535, not {value!r}.")
    return int(value)


def _request_limits(env: Env) -> RequestLimits:
    usual = RequestLimits()
    return RequestLimits(
        key=_rate(env, "IOTSPHERE_RATE_KEY", "key", usual.key),
        user=_rate(env, "IOTSPHERE_RATE_USER", "user", usual.user),
        organisation=_rate(env, "IOTSPHERE_RATE_ORGANISATION", "organisation", usual.organisation),
        address=_rate(env, "IOTSPHERE_RATE_ADDRESS", "address", usual.address),
    )


def _rate(env: Env, name: str, subject: str, usual: Limit | None) -> Limit | None:
    """Read ``<per second>`` or ``<per second>/<burst>``; a burst that is not given is what comes in two seconds."""
    value = _text(env, name)
    if value is None or value.lower() == "off":
        return usual if value is None else None
    written = RATE.fullmatch(value)
    rate = float(written["rate"]) if written else 0
    burst = int(written["burst"]) if written and written["burst"] else max(1, round(2 * rate))
    if not LEAST_RATE <= rate <= MOST_AT_ONCE or not 1 <= burst <= MOST_AT_ONCE:
        raise SettingsError(
            f"{name} must be requests per second, or <per second>/<at once>, up to {MOST_AT_ONCE}, or 'off', "
            f"not {value!r}."
        )
    return Limit.per_second(subject, rate, burst)


def _trusted_hops(env: Env) -> int:
    value = _text(env, "IOTSPHERE_TRUSTED_HOPS") or "0"
    if not re.fullmatch(r"[0-9]", value):
        raise SettingsError(f"IOTSPHERE_TRUSTED_HOPS must be a number from 0 to 9, not {value!r}.")
    return int(value)


def _compress_after(env: Env) -> timedelta | None:
    value = _text(env, "IOTSPHERE_COMPRESS_AFTER_DAYS")
    if value is None or value.lower() == "never":
        return DEFAULT_COMPRESS_AFTER if value is None else None
    if not re.fullmatch(r"[0-9]{1,5}", value) or not 1 <= int(value) <= MOST_DAYS:
        raise SettingsError(
            f"IOTSPHERE_COMPRESS_AFTER_DAYS must be days from 1 to {MOST_DAYS}, or 'never', not {value!r}."
        )
    return timedelta(days=int(value))


def _password_kib(env: Env) -> int:
    value = _text(env, "IOTSPHERE_PASSWORD_MIB") or str(DEFAULT_PASSWORD_MIB)
    if not re.fullmatch(r"[0-9]{1,4}", value) or not LEAST_PASSWORD_MIB <= int(value) <= MOST_PASSWORD_MIB:
        span = f"{LEAST_PASSWORD_MIB} to {MOST_PASSWORD_MIB}"
        raise SettingsError(f"IOTSPHERE_PASSWORD_MIB must be a number from {span}, not {value!r}.")
    return int(value) * 1024


def _folder(env: Env, name: str) -> Path | None:
    value = _text(env, name)
    try:
        return Path(value).expanduser().absolute() if value else None
    except RuntimeError as error:
        raise SettingsError(f"{name} starts with a ~ that is nobody's home: {value}") from error
